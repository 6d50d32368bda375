"""Settings and describes for the checks of `doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.cli.checks.given import Given, read_given
from integration.cli.checks.salesforce_judging import Described
from integration.mapping.customisation import load_customisation
from sandbox.salesforce.describe import full
from sandbox.salesforce.schema import Schema

if TYPE_CHECKING:
    import pytest

    from integration.cli.checks.check import Check

SETTINGS = {
    "SALESFORCE_CLIENT_ID": "app",
    "SALESFORCE_USERNAME": "integration@example.com",
    "SALESFORCE_PRIVATE_KEY": "pem",
    "SALESFORCE_ORG_IDS": "00DAa0000000001",
    "D365_BASE_URL": "https://contoso.operations.dynamics.com",
    "D365_COMPANY": "usmf",
    "ServiceBus": "Endpoint=sb://ns;SharedAccessKeyName=n;SharedAccessKey=k",
    "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    "WEBHOOK_SECRETS": "hmac",
    "ORDERS_SINCE": "2025-01-01",
}
_TIMERS = "SYNC_PRICES SYNC_PAYMENTS RECONCILE CATCH_UP WATCH SEND_PACKAGES"
SCHEDULES = {f"{name}_SCHEDULE": "0 */15 * * * *" for name in _TIMERS.split()}


def given(monkeypatch: pytest.MonkeyPatch, mapping: str = "", **settings: str | None) -> Given:
    """As read from an environment of SETTINGS with these changes; None takes one away."""
    for name, value in {**SETTINGS, **settings}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    found = read_given()
    if mapping:
        return Given(found.settings, load_customisation(mapping), found.problems)
    return found


def described(name: str, **changes: dict[str, Any] | None) -> Described:
    """An object of the package; `changes` by field, None for one that is hidden."""
    schema = Schema()
    body = full(schema, schema.objects[name], "https://org")
    fields = []
    for field in body["fields"]:
        change = changes.get(field["name"], {})
        if change is not None:
            fields.append({**field, **change})
    return Described.of({**body, "fields": fields})


def not_ok(rows: list[Check]) -> list[tuple[str, str]]:
    return [(row.status, row.name) for row in rows if row.status != "ok"]


def only(rows: list[Check]) -> Check:
    [row] = rows
    return row
