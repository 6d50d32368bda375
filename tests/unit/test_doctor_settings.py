"""What `doctor` says of settings, mapping file, webhook and schedules, and what goes on all the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from integration.cli.checks.schedules import SCHEDULES as NAMES
from integration.cli.checks.schedules import problem_of_schedule
from integration.cli.checks.settings import check_settings
from tests.contract.test_bindings import indexed
from tests.unit.doctor_support import SCHEDULES, SETTINGS, given, not_ok

if TYPE_CHECKING:
    from pathlib import Path


def test_right_settings_are_all_ok(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch)
    assert not_ok(check_settings(found, SCHEDULES)) == []
    assert found.broken == frozenset()


def test_every_wrong_setting_is_a_row_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(
        monkeypatch, D365_COMPANY=None, SALESFORCE_AUTH="password", ORDERS_SINCE="soon",
        FLOW_PRICES="maybe",
    )  # fmt: skip
    names = {"D365_COMPANY", "SALESFORCE_AUTH", "ORDERS_SINCE", "FLOW_PRICES"}
    rows = [row for row in check_settings(found, SCHEDULES) if row.status == "failed"]
    assert {row.name for row in rows} == names == found.broken
    assert all("docs/settings.md" in row.advice for row in rows)


def test_what_is_right_is_kept_beside_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, SALESFORCE_API_VERSION="latest", SALESFORCE_CLIENT_NAME="mine")
    assert found.settings.salesforce.client_name == "mine"
    assert found.settings.salesforce.api_version == "62.0"  # the default
    assert found.settings.d365.company == "usmf"


def test_settings_can_be_read_when_everything_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, **dict.fromkeys(SETTINGS))
    assert {"SALESFORCE_CLIENT_ID", "SALESFORCE_PRIVATE_KEY", "D365_BASE_URL"} <= found.broken
    assert found.settings.salesforce.auth == "jwt"


def test_settings_that_do_not_fit_together_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, INTEGRATION_BUCKETS="60")
    [row] = [row for row in check_settings(found, SCHEDULES) if row.status == "failed"]
    assert row.name == "app settings"
    assert "INTEGRATION_BUCKETS=60" in row.found


def test_an_unresolved_secret_is_told_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, D365_CLIENT_SECRET="@Microsoft.KeyVault(SecretUri=https://v/s)")
    [row] = [row for row in check_settings(found, SCHEDULES) if row.status == "failed"]
    assert row.name == "D365_CLIENT_SECRET"
    assert "https://v/s" not in row.found


def test_every_mistake_of_the_mapping_file_is_a_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text('[companies]\ndefault = "toolong"\n[prices]\ntime_zone = "Mars"\n')
    found = given(monkeypatch, MAPPING_FILE=str(file))
    rows = [row for row in check_settings(found, SCHEDULES) if row.status == "failed"]
    assert [row.name for row in rows] == ["MAPPING_FILE"] * 2
    assert found.broken == {"MAPPING_FILE"}


@pytest.mark.parametrize("path", ["missing.toml", "clash.toml"])
def test_a_mapping_file_that_cannot_be_used_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, path: str
) -> None:
    clash = tmp_path / "clash.toml"
    clash.write_text('[accounts.fields.SalesforceAccountId]\nsource = "Site"\n')
    found = given(monkeypatch, MAPPING_FILE=str(tmp_path / path))
    assert not_ok(check_settings(found, SCHEDULES)) == [("failed", "MAPPING_FILE")]


def test_a_webhook_without_any_proof_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, WEBHOOK_SECRETS=None, SALESFORCE_ORG_IDS=None)
    assert not_ok(check_settings(found, SCHEDULES)) == [("failed", "webhook")]


def test_a_webhook_with_a_wrong_setting_is_not_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    found = given(monkeypatch, SALESFORCE_ORG_IDS="too short", WEBHOOK_SECRETS=None)
    assert not_ok(check_settings(found, SCHEDULES)) == [
        ("failed", "SALESFORCE_ORG_IDS"),
        ("not checked", "webhook"),
    ]


def test_a_missing_and_a_wrong_schedule_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    schedules = {**SCHEDULES, "WATCH_SCHEDULE": "every day", "RECONCILE_SCHEDULE": ""}
    schedules["SYNC_PRICES_SCHEDULE"] = "01:00:00"
    assert not_ok(check_settings(given(monkeypatch), schedules)) == [
        ("warning", "SYNC_PRICES_SCHEDULE"),
        ("failed", "RECONCILE_SCHEDULE"),
        ("failed", "WATCH_SCHEDULE"),
    ]


def test_the_schedules_are_those_of_the_timers() -> None:
    timers = {
        binding["schedule"].strip("%")
        for bindings in indexed()["functions"].values()
        for binding in bindings
        if binding["type"] == "timerTrigger"
    }
    assert timers == set(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "0 */15 * * * *", "0 0 2 * * *", "0 5/10 * * * *", "*/15 * * * *", "0 0 9-17 * * Mon-Fri",
        "0 30 3 1,15 Jan,JUL *", "59 59 23 31 12 6",
    ],
)  # fmt: skip
def test_a_schedule_as_azure_takes_it_is_right(text: str) -> None:
    assert problem_of_schedule(text) is None


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0 0 2 * *  * *", "7 fields"),
        ("daily", "1 fields"),
        ("60 0 2 * * *", "'60' is no second"),
        ("0 0 24 * * *", "'24' is no hour"),
        ("0 0 0 0 * *", "'0' is no day"),
        ("0 0 0 * 13 *", "'13' is no month"),
        ("0 0 0 * * 7", "'7' is no day of week"),
        ("0 0 17-9 * * *", "'17-9' is no hour"),
        ("0 */0 * * * *", "'*/0' is no minute"),
        ("0 0 0 * * Sunday", "'Sunday' is no day of week"),
        ("0 0 0 , * *", "'' is no day"),
    ],
)
def test_a_schedule_that_azure_refuses_is_told(text: str, part: str) -> None:
    problem = problem_of_schedule(text)
    assert problem is not None
    assert part in problem
