"""What must hold in the templates beyond their syntax. A rule yields findings as `line: what`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from infra.checks.syntax import Node, line, mistakes, named, text, walk
from infra.checks.template import Declaration, Template, names_used, plain, properties

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# One version for each type (Azure contract 3.2). A child takes the version of its provider's resource.
API_VERSIONS = {
    "Microsoft.Authorization/locks": "2020-05-01",
    "Microsoft.Authorization/roleAssignments": "2022-04-01",
    "Microsoft.Insights/actionGroups": "2023-01-01",
    "Microsoft.Insights/components": "2020-02-02",
    "Microsoft.Insights/diagnosticSettings": "2021-05-01-preview",
    "Microsoft.Insights/metricAlerts": "2018-03-01",
    "Microsoft.Insights/scheduledQueryRules": "2023-12-01",
    "Microsoft.Insights/workbooks": "2023-06-01",
    "Microsoft.KeyVault": "2024-11-01",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "2024-11-30",
    "Microsoft.Network": "2025-05-01",
    "Microsoft.Network/privateDnsZones": "2024-06-01",
    "Microsoft.OperationalInsights/workspaces": "2025-07-01",
    "Microsoft.Resources/resourceGroups": "2024-11-01",
    "Microsoft.ServiceBus": "2024-01-01",
    "Microsoft.Storage": "2025-06-01",
    "Microsoft.Web": "2025-03-01",
}
# Azure's built-in roles (Azure contract 3.4) by the name they carry here.
ROLES = {
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageBlobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "serviceBusDataOwner": "090c5cfd-751d-490a-894a-3ce6f1109419",
    "serviceBusDataReceiver": "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0",
    "serviceBusDataSender": "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "keyVaultSecretsOfficer": "b86a8fe4-44ce-4948-aee5-eccb2c155cd7",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
}
_GUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_ASSIGNMENT = "Microsoft.Authorization/roleAssignments"


def check(files: Iterable[Path]) -> list[str]:
    """All findings of all files; an unreadable file has no others."""
    found: list[str] = []
    templates: list[Template] = []
    for file in files:
        unreadable = mistakes(file)
        found += unreadable
        if not unreadable:
            templates.append(Template.read(file))
    for template in templates:
        for rule in _RULES:
            found += [f"{template.file.name}:{finding}" for finding in rule(template)]
    return found


def _unknown_names(template: Template) -> Iterator[str]:
    for declared in template.declarations:
        for node in (declared.value, *declared.decorators):
            if node is None:
                continue
            inside = _local_names(node)
            for name, place in names_used(node):
                if name not in template.symbols and name not in inside:
                    yield f"{line(place)}: {name} is not declared"


def _local_names(node: Node) -> set[str]:
    found: set[str] = set()
    for each in walk(node):
        if each.type == "for_statement":
            head = named(each)[0]
            found |= {text(part) for part in named(head)} or {text(head)}
        elif each.type == "lambda_expression":
            found.add(text(named(each)[0]))
    return found


def _unused(template: Template) -> Iterator[str]:
    used = {
        name
        for declared in template.declarations
        if declared.value is not None
        for name, _ in names_used(declared.value)
    }
    for name, declared in template.symbols.items():
        if declared.kind in ("param", "var") and name not in used:
            yield f"{line(declared.node)}: {declared.kind} {name} is not used"
        if declared.existing and name not in used:
            yield f"{line(declared.node)}: existing resource {name} is not used"


def _doubles(template: Template) -> Iterator[str]:
    names = [each.name for each in template.declarations if each.kind != "output"]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"1: {name} is declared twice"
    for each in walk(template.root):
        if each.type == "object":
            keys = [key for key, _ in properties(each)]
            for key in sorted({key for key in keys if keys.count(key) > 1}):
                yield f"{line(each)}: {key} is given twice"


def _versions(template: Template) -> Iterator[str]:
    for declared in template.of("resource").values():
        kind, _, version = declared.target.partition("@")
        wanted = API_VERSIONS.get(kind)
        parts = kind.split("/")
        while wanted is None and parts:
            parts.pop()
            wanted = API_VERSIONS.get("/".join(parts))
        if wanted != version:
            yield f"{line(declared.node)}: {kind}@{version}, known is {wanted or 'none'}"


def _roles(template: Template) -> Iterator[str]:
    """Every id stands under its role's name."""
    for each in walk(template.root):
        if each.type != "string" or not _GUID.match(text(each).strip("'").lower()):
            continue
        owner = each.parent
        name = text(owner.named_children[0]) if owner is not None else ""
        if ROLES.get(name) != plain(each):
            yield f"{line(each)}: {plain(each)} is not the role {name or '(unnamed)'}"


def _assignments(template: Template) -> Iterator[str]:
    """Each says why, names its principal's type, and is named after scope, principal and role."""
    for declared in template.of("resource").values():
        if not declared.target.startswith(_ASSIGNMENT):
            continue
        at = line(declared.node)
        before = declared.node.prev_sibling
        comments = []
        while before is not None and before.type == "comment":
            comments.append(text(before))
            before = before.prev_sibling
        if not any("Why" in comment for comment in comments):
            yield f"{at}: {declared.name} does not say why it is needed"
        yield from _named_by_guid(declared, at)


def _named_by_guid(declared: Declaration, at: int) -> Iterator[str]:
    name, scope = declared.property("name"), declared.property("scope")
    inner = dict(properties(declared.property("properties") or declared.body))
    if "principalType" not in inner:
        yield f"{at}: {declared.name} has no principalType"
    if name is None or scope is None or name.type != "call_expression":
        yield f"{at}: {declared.name} needs a scope, and guid(scope.id, principal, role) as its name"
        return
    function, arguments = named(name)
    given = [text(part) for part in named(arguments)]
    role = text(inner["roleDefinitionId"])
    expected = [f"{text(scope)}.id", text(inner["principalId"])]
    if text(function) != "guid" or given[:2] != expected or len(given) != 3 or given[2] not in role:
        yield f"{at}: {declared.name} is not named guid({', '.join(expected)}, its role)"


def _modules(template: Template) -> Iterator[str]:
    """A module exists, gets all its mandatory parameters and no unknown one; its outputs exist."""
    outputs: dict[str, set[str]] = {}
    for declared in template.of("module").values():
        at = line(declared.node)
        file = template.file.parent / declared.target
        if not file.is_file():
            yield f"{at}: {declared.target} does not exist"
            continue
        inner = Template.read(file)
        outputs[declared.name] = set(inner.of("output"))
        params = declared.property("params")
        given = dict(properties(params)) if params is not None else {}
        wanted = inner.of("param")
        for name in given.keys() - wanted.keys():
            yield f"{at}: {declared.target} has no parameter {name}"
        for name, param in wanted.items():
            if name not in given and param.value is None:
                yield f"{at}: {declared.target} needs the parameter {name}"
    for each in walk(template.root):
        found = re.fullmatch(r"(\w+)!?\.\??outputs\.(\w+)", text(each))
        known = outputs.get(found[1]) if found else None
        if found and known is not None and found[2] not in known:
            yield f"{line(each)}: {found[1]} has no output {found[2]}"


_RULES = (
    _unknown_names,
    _unused,
    _doubles,
    _versions,
    _roles,
    _assignments,
    _modules,
)
