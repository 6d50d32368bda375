"""The app's real clients before both stand-ins, over ASGI; one Entra and one key for all tests."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from integration.d365.client import D365Client
from integration.salesforce.client import SalesforceClient
from integration.salesforce.repeats import CallRetries
from integration.settings import D365Settings, SalesforceSettings
from sandbox.d365 import D365StandIn
from sandbox.salesforce import SalesforceStandIn
from sandbox.salesforce.server import new_key
from tests.contract.d365_standin import BASE, CLIENT, new_entra
from tests.unit.account_support import settings_of

if TYPE_CHECKING:
    import httpx

    from integration.settings import Settings
    from sandbox.entra import EntraStandIn


@cache
def _entra() -> EntraStandIn:
    return new_entra()


@cache
def _key() -> str:
    return new_key()


class _Credential:
    def get_token(self, *scopes: str, **_: Any) -> Any:
        expires = int(datetime.now(UTC).timestamp()) + 3600
        return SimpleNamespace(token=_entra().issue_token(CLIENT, BASE), expires_on=expires)

    def close(self) -> None: ...


def new_d365() -> D365StandIn:
    return D365StandIn(entra=_entra())


def new_salesforce(**options: Any) -> SalesforceStandIn:
    return SalesforceStandIn(private_key_pem=_key(), **options)


def settings_for(salesforce: SalesforceStandIn, **changes: str) -> Settings:
    """Of an app between the stand-ins; `changes` are settings of the app by their names."""
    return settings_of(**changes).model_copy(
        update={
            "d365": D365Settings(base_url=BASE, company="usmf", auth="managed_identity"),
            "salesforce": SalesforceSettings(
                login_url="http://salesforce.test",
                client_id=salesforce.client_id,
                username=salesforce.username,
                private_key=_key(),
                audience="https://login.salesforce.com",
            ),
        }
    )


def d365_client(given: Settings, http: httpx.AsyncClient) -> D365Client:
    """The caller closes it."""
    return D365Client(given.d365, http, credential=_Credential(), tries=1)


def salesforce_client(given: Settings, http: httpx.AsyncClient) -> SalesforceClient:
    return SalesforceClient(given.salesforce, http, retries=CallRetries(tries=1, delay=0.01))
