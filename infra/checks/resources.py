"""A resource of a deployment: what is declared, and a stand-in for what only Azure knows.

An address or a client id is a text of the same shape, listed in RUNTIME. Reading any other run-time
property is an error, so that a misspelt one cannot hide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from infra.checks.functions import SUBSCRIPTION

if TYPE_CHECKING:
    from collections.abc import Callable

RUNTIME: dict[str, dict[str, Callable[[str], Any]]] = {
    "Microsoft.ManagedIdentity/userAssignedIdentities": {
        "principalId": lambda name: f"principal-of-{name}",
        "clientId": lambda name: f"client-of-{name}",
    },
    "Microsoft.OperationalInsights/workspaces": {"customerId": lambda name: f"customer-of-{name}"},
    "Microsoft.Insights/components": {
        "ConnectionString": lambda name: f"InstrumentationKey=key-of-{name}"
    },
    "Microsoft.Storage/storageAccounts": {
        "primaryEndpoints": lambda name: {"blob": f"https://{name}.blob.core.windows.net/"}
    },
    "Microsoft.ServiceBus/namespaces": {
        "serviceBusEndpoint": lambda name: f"https://{name}.servicebus.windows.net:443/"
    },
    "Microsoft.KeyVault/vaults": {"vaultUri": lambda name: f"https://{name}.vault.azure.net/"},
    "Microsoft.Network/publicIPAddresses": {"ipAddress": lambda name: "203.0.113.7"},
    "Microsoft.Web/sites": {"defaultHostName": lambda name: f"{name}.azurewebsites.net"},
}


@dataclass(frozen=True)
class Resource:
    """`scope` is the id of what contains it; `body` is everything behind `=`, evaluated."""

    symbol: str
    type: str
    api: str
    scope: str
    body: dict[str, Any]
    existing: bool = False
    module: str = ""

    @property
    def name(self) -> str:
        parent = self.body.get("parent")
        own = str(self.body["name"])
        return f"{parent.name}/{own}" if isinstance(parent, Resource) else own

    @property
    def id(self) -> str:
        on = self.body.get("scope")
        at = on.id if isinstance(on, Resource) and on.type != "resourceGroups" else self.scope
        if self.type == "Microsoft.Resources/resourceGroups":
            return f"{SUBSCRIPTION}/resourceGroups/{self.name}"
        provider, *kinds = self.type.split("/")
        path = "/".join(
            f"{kind}/{name}" for kind, name in zip(kinds, self.name.split("/"), strict=True)
        )
        return f"{at}/providers/{provider}/{path}"

    def member(self, name: str) -> Any:
        match name:
            case "id":
                return self.id
            case "name":
                return str(self.body["name"])
            case "properties":
                known = RUNTIME.get(self.type, {})
                return {
                    **{key: made(self.name) for key, made in known.items()},
                    **self.body.get("properties", {}),
                }
            case "listKeys":
                return lambda: {"primaryKey": f"key-of-{self.name}"}
        return self.body[name]
