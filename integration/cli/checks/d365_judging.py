"""What answers of F&O mean for the app: pure comparisons, each a row or several."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from integration.cli.checks.check import Check, failed, ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from integration.cli.checks.needs import Needs
    from integration.d365.metadata import EntityInfo

LEAST_VERSION = (10, 0, 38)
_NAMED = 8  # columns in one row
_TENANT = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_ENTITY = "System administration > Data management > Data entities: refresh the entity list"
_REGISTER = (
    "list the application under System administration > Setup > Microsoft Entra ID applications, with a"
    " user that may use the entities"
)


@dataclass(frozen=True, slots=True)
class PublicName:
    """A row of `/metadata/DataEntities`: `name` is what `/metadata/PublicEntities` calls it."""

    name: str
    is_public: bool
    packages: bool

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]]) -> PublicName | None:
        """Of the rows of one entity set; several versions may claim it, and one is public."""
        found = [
            cls(
                str(row.get("PublicEntityName") or ""),
                bool(row.get("DataServiceEnabled")),
                bool(row.get("DataManagementEnabled")),
            )
            for row in rows
        ]
        return next((each for each in found if each.is_public), found[0] if found else None)


def judge_token(claims: Mapping[str, Any], base_url: str, tenant_id: str | None) -> list[Check]:
    """F&O takes a token for its own address alone, of its own tenant (F&O contract 1.2)."""
    parts = urlsplit(base_url)
    wanted = f"{parts.scheme}://{parts.netloc.lower()}"
    audience, tenant = str(claims.get("aud", "")), str(claims.get("tid", ""))
    application = claims.get("appid") or claims.get("azp") or "?"
    if audience != wanted:
        step = "D365_BASE_URL must be the address of the environment as Entra ID knows it"
        return [failed("sign-in", f"the token is for {audience}, not for {wanted}", step)]
    if tenant_id and _TENANT.fullmatch(tenant_id) and tenant.lower() != tenant_id.lower():
        step = "correct D365_TENANT_ID, or the tenant of the identity"
        return [failed("sign-in", f"the token is of tenant {tenant}, not of {tenant_id}", step)]
    if not claims.get("oid"):
        step = "create the application's service principal in the tenant of F&O"
        return [failed("sign-in", f"application {application} has no service principal", step)]
    return [ok("sign-in", f"application {application} of tenant {tenant}, audience {audience}")]


def refused_token(client_id: str | None) -> Check:
    """Entra gave a token, and F&O answers 401."""
    who = f"application {client_id}" if client_id else "the app's identity"
    return failed("environment", f"refuses the token of {who}", _REGISTER)


def judge_version(version: str, host: str) -> Check:
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdecimal())
    text = f"{host} answers, version {version}"
    if numbers and numbers < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        return warning("environment", f"{text}, older than {least}", "plan the update of F&O")
    return ok("environment", text)


def judge_companies(existing: Iterable[str], named: Mapping[str, str]) -> list[Check]:
    """`named`: company → who names it."""
    known = {each.lower() for each in existing}
    step = f"correct it; there are {', '.join(sorted(known)[:_NAMED]) or 'none for this user'}"
    rows = [
        failed("companies", f"{company}, named by {by}, is no legal entity", step)
        for company, by in named.items()
        if company not in known
    ]
    return rows or [ok("companies", ", ".join(named))]


def judge_set(entity_set: str, public: PublicName | None, flows: Iterable[str]) -> Check | None:
    """Whether the set can be used at all; None if it can."""
    used = f"used by {', '.join(sorted(flows))}"
    if public is None:
        text = f"there is no such entity ({used})"
        return failed(entity_set, text, f"{_ENTITY}; or update F&O")
    if not public.is_public:
        step = "set Is public on the entity (developer) or use an update that brings it; " + _ENTITY
        return failed(entity_set, f"is not public ({used})", step)
    return None


def judge_columns(entity_set: str, info: EntityInfo, needs: Needs) -> list[Check]:
    properties, rows = info.properties, list[Check]()
    writes = needs.create | needs.update
    if info.read_only and writes:
        step = "give the app's user rights to change it; a read-only entity needs another version"
        rows.append(failed(entity_set, "is read-only", step))
    missing = {each for each in needs.fields if each not in properties}
    for column in sorted(missing & needs.custom.keys()):
        setting = needs.custom[column]
        step = f"add it to table and entity, then {_ENTITY}; or correct {setting}"
        rows.append(failed(entity_set, f"{column} is missing ({setting})", step))
    if others := missing - needs.custom.keys():
        step = f"correct the mapping file; or {_ENTITY}; or update F&O"
        rows.append(failed(entity_set, f"{_listed(others)}: missing", step))
    for names, allowed, word in (
        (needs.create, "allow_edit_on_create", "set on creation"),
        (needs.update, "allow_edit", "changed"),
    ):
        known = names - missing
        locked = [each for each in known if not getattr(properties[each], allowed)]
        if locked and not info.read_only:
            step = "remove them from the mapping file, or allow the edit in the entity"
            rows.append(failed(entity_set, f"{_listed(locked)}: cannot be {word}", step))
    if needs.create and (demanded := _uncovered(info, needs)):
        step = "give them a value in the mapping file, unless F&O fills them by itself"
        text = f"{_listed(demanded)}: mandatory, and not sent on creation"
        rows.append(warning(entity_set, text, step))
    if rows:
        return rows
    counts = [(len(needs.read), "read"), (len(needs.create), "set on creation")]
    counts += [(len(needs.update), "changed")]
    return [ok(entity_set, ", ".join(f"{count} {word}" for count, word in counts if count))]


def _uncovered(info: EntityInfo, needs: Needs) -> list[str]:
    """Keys are drawn from number sequences, or sent."""
    return [
        each.name
        for each in info.properties.values()
        if each.mandatory and not each.key and each.name not in needs.create
    ]


def judge_numbering(
    name: str, setting: str, *, own: bool, editable: bool, proofs: Sequence[bool]
) -> Check:
    """Who gives the numbers: F&O, or (`own`) the app. Metadata does not tell how a number sequence is set up;
    `editable` says whether the column may be sent at all, `proofs` whether records have such a number."""
    proven = any(proofs)
    if not own:
        seen = "as earlier records show" if proven else "the first record will show it"
        return ok(name, f"F&O draws them ({setting}); {seen}")
    if not editable:
        step = f"set {setting} back to sequence, or allow manual numbers in F&O"
        return failed(name, f"F&O takes no numbers of ours ({setting})", step)
    if proven:
        return ok(name, f"F&O takes ours ({setting}), as earlier records show")
    return warning(
        name,
        f"whether F&O takes ours ({setting}) cannot be read",
        "see Organization administration > Number sequences: Manual must be Yes; then try one record",
    )


def _listed(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - _NAMED
    return ", ".join(ordered[:_NAMED]) + (f" and {more} more" if more > 0 else "")
