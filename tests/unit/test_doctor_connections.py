"""`doctor` as a whole where nothing can be reached: every row is there, and none is an exception."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from integration.cli.doctor import diagnose, exit_code
from tests.unit.doctor_support import SCHEDULES, SETTINGS

if TYPE_CHECKING:
    import pytest

NOWHERE = "http://127.0.0.1:9"
SECRET = {
    "D365_AUTH": "secret",
    "D365_TENANT_ID": "5a4d0c1e-0000-4000-8000-00000000a001",
    "D365_CLIENT_ID": "app",
    "D365_CLIENT_SECRET": "very-secret",
    "D365_AUTHORITY": "https://127.0.0.1:9",
    "D365_BASE_URL": NOWHERE,
    "SALESFORCE_AUTH": "client_credentials",
    "SALESFORCE_CLIENT_SECRET": "very-secret",
    "SALESFORCE_LOGIN_URL": NOWHERE,
}


async def test_unreadable_connection_strings_are_rows_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = {"ServiceBus": "Endpoint=very-secret", "AzureWebJobsStorage": "AccountKey=very-secret"}
    for name, value in {**SETTINGS, **SCHEDULES, **SECRET, **broken}.items():
        monkeypatch.setenv(name, value)
    rows = await diagnose()
    failed = {(row.area, row.name): row.found for row in rows if row.status == "failed"}
    assert failed["Service Bus", "connection"] == "ServiceBus: is not a connection string"
    assert failed["storage", "connection"] == "AzureWebJobsStorage: is not a connection string"
    assert ("settings", "start") in failed  # the app itself cannot start either
    assert {("Salesforce", "sign-in"), ("F&O", "sign-in")} <= failed.keys()
    assert not [found for found in failed.values() if "unexpected" in found]
    assert "very-secret" not in str(rows)
    assert exit_code(rows) == 2
    assert logging.root.manager.disable == logging.NOTSET  # as it was before
