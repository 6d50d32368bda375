"""The templates are in order, and what they create is what the app, its triggers and the sandbox expect."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from infra.check import findings
from infra.checks.rules import check
from infra.parameters import EXAMPLES, functions
from sandbox import topology
from tests.contract.infra_support import PROJECT, all_of, deployed, one_of, queues, seconds

if TYPE_CHECKING:
    from pathlib import Path

SITE = "Microsoft.Web/sites"

# The checks themselves


def test_the_templates_are_in_order() -> None:
    assert findings() == []


GOOD = """
param name string
resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: name
}
// Why: reads.
resource reads 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principal, keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: principal
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('x', keyVaultSecretsUser)
  }
}
module other 'other.bicep' = {
  name: 'other'
  params: { size: 1 }
}
var principal = other.outputs.result
var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'
"""
OTHER = "param size int\nparam more int = size\noutput result string = '${more}'\n"


@pytest.mark.parametrize(
    ("written", "instead", "finding"),
    [
        ("name: name", "name: nmae", "nmae is not declared"),
        ("param name string", "param name string\nparam idle string", "idle is not used"),
        ("vaults@2024-11-01", "vaults@2023-07-01", "known is 2024-11-01"),
        ("KeyVault/vaults@", "Unknown/vaults@", "known is none"),
        ("4633458b", "4633458c", "is not the role keyVaultSecretsUser"),
        ("'other.bicep'", "'missing.bicep'", "missing.bicep does not exist"),
        ("{ size: 1 }", "{ }", "needs the parameter size"),
        ("{ size: 1 }", "{ size: 1, weight: 2 }", "no parameter weight"),
        ("outputs.result", "outputs.reslut", "has no output reslut"),
        ("principalType: 'ServicePrincipal'", "", "has no principalType"),
        ("// Why: reads.", "// Reads.", "does not say why"),
        ("guid(vault.id, principal", "guid(name, principal", "is not named guid(vault.id"),
        ("scope: vault", "scope: vault\n  scope: vault", "scope is given twice"),
        ("name: 'other'", "name: 'other", "cannot be read"),
        ("var principal = other", "var vault = 1\nvar principal = other", "vault is declared twice"),
    ],
)  # fmt: skip
def test_the_checks_find(tmp_path: Path, written: str, instead: str, finding: str) -> None:
    assert written in GOOD
    (tmp_path / "other.bicep").write_text(OTHER)
    (tmp_path / "main.bicep").write_text(GOOD)
    files = [tmp_path / "main.bicep", tmp_path / "other.bicep"]
    assert check(files) == []
    (tmp_path / "main.bicep").write_text(GOOD.replace(written, instead, 1))
    assert any(finding in found for found in check(files))


# Queues


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_queues_are_those_of_the_sandbox(example: str) -> None:
    created = queues(example)
    assert created.keys() == {queue.name for queue in topology.queues()}
    for queue in topology.queues():
        bicep = created[queue.name]
        window = queue.duplicate_detection_window
        assert seconds(bicep["lockDuration"]) == queue.lock_duration.total_seconds()
        assert bicep["maxDeliveryCount"] == queue.max_delivery_count
        assert bicep["requiresSession"] == queue.requires_session
        assert bicep["requiresDuplicateDetection"] == bool(window)
        if window:
            assert seconds(bicep["duplicateDetectionHistoryTimeWindow"]) == window.total_seconds()
        assert bicep.get("forwardDeadLetteredMessagesTo") == queue.forward_dead_letters_to
        assert "defaultMessageTimeToLive" not in bicep  # nothing may expire unseen
        assert bicep["enablePartitioning"] is False


# The app


def test_functions_whose_first_message_must_not_wait_are_kept_ready() -> None:
    scale = one_of("smallest", SITE)["functionAppConfig"]["scaleAndConcurrency"]
    groups = {each["name"]: each["instanceCount"] for each in scale["alwaysReady"]}
    assert groups == {"http": 1, "function:converge_changes": 1, "function:d365_business_events": 1}
    assert {name.removeprefix("function:") for name in groups if name != "http"} <= set(functions())
    assert scale["maximumInstanceCount"] == 40


def test_the_app_is_python_on_flex_and_replaced_without_a_gap() -> None:
    site = one_of("everything", SITE)["functionAppConfig"]
    assert site["runtime"] == {"name": "python", "version": "3.13"}
    assert site["siteUpdateStrategy"] == {"type": "RollingUpdate"}
    assert site["deployment"]["storage"]["authentication"]["type"] == "UserAssignedIdentity"
    (plan,) = all_of("everything", "Microsoft.Web/serverfarms")
    assert plan.body["sku"]["name"] == "FC1"


def test_azd_finds_the_app_by_its_tag() -> None:
    (site,) = all_of("smallest", SITE)
    text = (PROJECT / "azure.yaml").read_text(encoding="utf-8")
    assert re.search(rf"^  {site.body['tags']['azd-service-name']}:$", text, re.MULTILINE)


# Azure's rules for names; the host's id is cut to 32 characters of the app's name.
NAMES = {
    "Microsoft.Web/sites": r"[a-z0-9][a-z0-9-]{1,30}[a-z0-9]",
    "Microsoft.Storage/storageAccounts": r"[a-z0-9]{3,24}",
    "Microsoft.KeyVault/vaults": r"(?!.*--)[a-z][a-z0-9-]{1,22}[a-z0-9]",
    "Microsoft.KeyVault/vaults/secrets": r"[A-Za-z0-9-]{1,127}",
    "Microsoft.ServiceBus/namespaces": r"[a-z][a-z0-9-]{4,48}[a-z0-9](?<!-sb)(?<!-mgmt)",
    "Microsoft.ServiceBus/namespaces/queues": r"[A-Za-z0-9][\w./-]{0,258}[A-Za-z0-9]",
    "Microsoft.Insights/workbooks": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
    "Microsoft.Authorization/roleAssignments": r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_are_such_as_azure_takes(kind: str) -> None:
    found = [str(each.body["name"]) for each in all_of("everything", kind)]
    assert found
    assert [name for name in found if not re.fullmatch(NAMES[kind], name)] == []


def test_whatever_can_carry_a_tag_tells_its_environment() -> None:
    parts = ("Microsoft.Authorization/", "Microsoft.Insights/diagnosticSettings")
    for each in deployed("everything").resources:
        if "tags" in each.body:
            assert each.body["tags"]["azd-env-name"] == "test", each.name
        else:
            assert each.type.count("/") > 1 or each.type.startswith(parts), each.type
