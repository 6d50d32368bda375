"""Who may do what in a deployment, and by which way it can be reached."""

from __future__ import annotations

import re
from typing import Any

from infra.parameters import EXAMPLES
from sandbox import topology
from tests.contract.infra_support import (
    PROJECT,
    all_of,
    deployed,
    granted,
    one_of,
)

SITE = "Microsoft.Web/sites"
NAMESPACE = "Microsoft.ServiceBus/namespaces"
STORAGE = "Microsoft.Storage/storageAccounts"
VAULT = "Microsoft.KeyVault/vaults"


def test_the_app_has_these_rights_and_no_others() -> None:
    account, vault, insights, queue = (
        f"storageAccounts:{deployed('smallest').outputs['STORAGE_ACCOUNT_NAME']}",
        f"vaults:{deployed('smallest').outputs['KEY_VAULT_NAME']}",
        "components:appi-",
        "namespaces/queues:",
    )
    rights = granted("smallest", "principal-of-")
    telemetry = {right for right in rights if right[1].startswith(insights)}
    assert {role for role, _ in telemetry} == {"monitoringMetricsPublisher"}
    assert rights - telemetry == {
        ("storageBlobDataOwner", account),
        ("keyVaultSecretsUser", vault),
        *(("serviceBusDataReceiver", queue + name)
          for name in ("changes", "jobs", "d365-business-events")),
        *(("serviceBusDataSender", queue + name)
          for name in ("changes", "jobs", "d365-business-events", "dead-letter")),
    }  # fmt: skip


def test_people_get_rights_only_where_a_group_is_named() -> None:
    everybody = all_of("smallest", "Microsoft.Authorization/roleAssignments")
    principals = {each.body["properties"]["principalId"] for each in everybody}
    assert len(principals) == 1
    rights = granted("everything", "4444")
    assert ("serviceBusDataReceiver", "namespaces/queues:dead-letter") in rights
    state = "storageAccounts/blobServices/containers:integration-state"
    assert ("storageBlobDataContributor", state) in rights
    assert not any(role.endswith("Owner") for role, _ in rights)


def test_nothing_signs_in_with_a_key() -> None:
    assert one_of("smallest", STORAGE)["allowSharedKeyAccess"] is False
    assert one_of("smallest", NAMESPACE)["disableLocalAuth"] is True
    assert one_of("smallest", "Microsoft.Insights/components")["DisableLocalAuth"] is True
    policies = all_of("smallest", "Microsoft.Web/sites/basicPublishingCredentialsPolicies")
    assert [each.body["properties"]["allow"] for each in policies] == [False, False]


def test_f_and_o_may_send_to_its_one_queue_and_nothing_else() -> None:
    assert one_of("everything", NAMESPACE)["disableLocalAuth"] is False
    (rule,) = all_of("everything", "Microsoft.ServiceBus/namespaces/queues/authorizationRules")
    assert rule.body["properties"] == {"rights": ["Send"]}
    assert rule.name.split("/")[1] == topology.BUSINESS_EVENTS
    (secret,) = all_of("everything", "Microsoft.KeyVault/vaults/secrets")
    host = deployed("everything").outputs["SERVICE_BUS_NAMESPACE"]
    assert secret.body["properties"]["value"].startswith(
        f"Endpoint=sb://{host}/;SharedAccessKeyName=d365-send;"
    )
    assert granted("everything", "3333") == {
        ("keyVaultSecretsUser", "vaults/secrets:d365-business-events")
    }


def test_private_networking_closes_the_public_ways() -> None:
    assert one_of("everything", STORAGE)["publicNetworkAccess"] == "Disabled"
    (namespace,) = all_of("everything", NAMESPACE)
    assert namespace.body["sku"]["name"] == "Premium"  # others have no private endpoints
    main_vault = next(each for each in all_of("everything", VAULT) if each.module == "keyvault")
    assert main_vault.body["properties"]["publicNetworkAccess"] == "Disabled"
    assert one_of("everything", SITE)["virtualNetworkSubnetId"].endswith("/subnets/app")
    groups: list[Any] = [
        each.body["properties"]["privateLinkServiceConnections"][0]["properties"]["groupIds"]
        for each in all_of("everything", "Microsoft.Network/privateEndpoints")
    ]
    assert groups == [["blob"], ["namespace"], ["vault"]]
    assert one_of("smallest", SITE)["virtualNetworkSubnetId"] is None
    assert not all_of("smallest", "Microsoft.Network/privateEndpoints")


def test_the_security_model_lists_these_rights() -> None:
    text = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (app|people on duty|F&O's application) \| ([^|]+) \|", text, re.MULTILINE
    )
    listed = {
        (who, role.partition(",")[0].strip().removeprefix("Service Bus "))
        for who, roles in rows
        for role in roles.split(";")
    }
    event_reader = EXAMPLES["everything"]["BUSINESS_EVENTS_PRINCIPAL_ID"]
    operators = EXAMPLES["everything"]["OPERATOR_PRINCIPAL_ID"]
    who = {"app": "principal-of-", "people on duty": operators, "F&O's application": event_reader}
    given = {
        (name, re.sub(r"(?<!^)(?=[A-Z])", " ", role[0].upper() + role[1:]))
        for name, principal in who.items()
        for role, _ in granted("everything", principal)
    }
    assert listed == {(name, role.removeprefix("Service Bus ")) for name, role in given}
