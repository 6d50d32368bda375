"""Every command against a running sandbox: what a person reads, what a script gets, and what went wrong."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from sandbox import topology
from sandbox.servicebus.broker import Broker
from tests.end_to_end.operator_desk import Operator
from tests.end_to_end.world import DOWN, new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.end_to_end.world import World

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(240)]
NUMBER = "D365_Customer_Number__c"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world() as world:
        yield world


@pytest.fixture
def duty(world: World) -> Operator:
    return Operator(world)


def words(text: str) -> list[str]:
    """Lines with single spaces, as a golden text is written here."""
    return [re.sub(r" {2,}", "  ", line).strip() for line in text.splitlines()]


# sync


async def test_a_dry_run_shows_each_field_from_its_source_to_the_decision_and_writes_nothing(
    world: World, duty: Operator
) -> None:
    key = await world.create_settled(BillingCity="Lenggries", Phone="+49 1")
    await world.change_customer(key, AddressCity="Old Town")
    said = await duty.done("sync", "account", key, "--dry-run", "--show-values")
    assert words(said.out) == [
        f"Account {key}: would be updated, 1 field",
        "field  from  source  mapped  current  decision",
        "AddressCity  BillingCity  Lenggries  Lenggries  Old Town  update",
    ]
    hidden = await duty.done("sync", "account", key, "--dry-run", "--all-fields")
    assert hidden.width <= 100
    assert "Lenggries" not in hidden.out
    lines = words(hidden.out)
    assert "AddressCity  BillingCity  text of 9  text of 9  text of 8  update" in lines
    assert "PrimaryContactPhone  Phone  text of 5  text of 5  =  in step" in lines
    assert "CustomerGroupId  -  text of 2  =  only on creation" in lines
    assert world.d365.writes_to_d365() == []
    assert world.salesforce.rows_to_salesforce() == []


async def test_a_record_is_sent_and_its_outcome_followed(world: World, duty: Operator) -> None:
    new, wrong = (
        await world.create(events=False),
        await world.create(events=False, BillingCountry="Atlantis"),
    )
    said = await duty.run("sync", "account", new, wrong, "--yes", "--why", "asked by sales")
    assert said.code == 1
    assert f"{new}  in step (changed)" in said.out
    assert f"{wrong}  failed: mapping" in said.out
    assert (await world.account(new))[NUMBER]
    [audit] = [each for each in duty.audited("sync") if new in each["keys"]]
    assert audit["why"] == "asked by sales"
    again = await duty.json("sync", "Account", new, "--yes")
    [record] = again["records"]
    assert (record["outcome"], record["reason"], record["attempt"]) == ("synced", "unchanged", 1)
    assert duty.documents("outcomes/") == {}


async def test_a_condition_chooses_the_records_of_either_system(
    world: World, duty: Operator
) -> None:
    keys = [await world.create(events=False, BillingCity="Sylvenstein") for _ in range(3)]
    where = "BillingCity = 'Sylvenstein'"
    found = await duty.json("sync", "account", "--where", where, "--limit", "2", "--dry-run")
    assert [each["key"] for each in found["records"]] == sorted(keys)[:2]
    assert found["records"][0]["decision"] == "would be created, 13 fields"
    await duty.done("sync", "account", "--where", where, "--yes")
    assert await world.is_in_step(*keys)
    number = (await world.account(keys[0]))[NUMBER]
    back = await duty.json(
        "sync", "customer", "--where", f"CustomerAccount eq '{number}'", "--dry-run"
    )
    assert [each["key"] for each in back["records"]] == [f"usmf|{number}"]
    fields = {each["field"]: each for each in back["records"][0]["fields"]}
    assert fields["D365_Company__c"]["source"] == "dataAreaId"
    wrong = await duty.run("sync", "account", "--where", "Nonsense__c = 1", "--dry-run")
    assert wrong.code == 1
    assert "salesforce: " in wrong.err
    assert "Traceback" not in wrong.err


async def test_what_cannot_be_a_record_is_wrong_use(duty: Operator) -> None:
    for arguments, text in (
        (("account", "nonsense"), "no Salesforce id"),
        (("customer", "US-1"), "usmf|US-000123"),
        (("product", "P1"), "no flow handles Product by itself"),
        (("account",), "which records?"),
    ):
        said = await duty.run("sync", *arguments, "--dry-run")
        assert (said.code, text in said.err) == (2, True), said.err


# status, limits, explain


async def test_status_shows_what_waits_and_what_was_done_and_asks_for_a_person(
    world: World, duty: Operator
) -> None:
    await world.create_settled()
    wrong = await world.create(BillingCountry="Atlantis")
    await world.settled()
    await asyncio.sleep(0.5)  # the app notes what it did in small documents
    data = await duty.json("status", code=1)
    accounts = {flow["flow"]: flow for flow in data["flows"]}["accounts"]
    assert (accounts["switch"], accounts["waiting"]) == ("on", 0)
    assert accounts["handled"] >= 2
    assert accounts["failed"] == len(world.sandbox.dead_letters())
    assert data["calls"]["limit"] == 100_000
    assert data["unknown"] == {}
    assert world.letters(wrong)
    said = await duty.run("status")
    assert (said.code, said.width <= 100) == (1, True)
    assert words(said.out)[2].startswith(
        "flow  switch  waiting  oldest  later  handled 1 h  failed"
    )
    await world.fault("d365", **DOWN)
    troubled = await duty.run("status")
    assert "UNKNOWN F&O: d365: unreachable" in troubled.out
    assert "next: python -m integration doctor" in troubled.out
    [row] = [line for line in words(troubled.out) if line.startswith("accounts ")]
    assert row.startswith("accounts  on  0")


async def test_limits_warn_when_little_is_left(world: World, duty: Operator) -> None:
    assert "API calls in 24 hours" in (await duty.done("limits")).out
    await world.put("salesforce", "quota", {"max": 1000, "used": 900})
    scarce = await duty.run("limits")
    assert (scarce.code, "little is left of: API calls in 24 hours" in scarce.err) == (1, True)


async def test_explain_shows_the_mapping_with_the_tenants_own_lines(
    duty: Operator, tmp_path: Path
) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text(
        '[accounts.fields.AddressCity]\nsource = "Town__c"\ntransform = "cut(60)"\n'
        "[accounts.fields.PrimaryContactURL]\nremove = true\n"
    )
    said = await duty.done("explain", "account", MAPPING_FILE=str(file))
    assert said.width <= 100
    lines = words(said.out)
    assert "Town__c  AddressCity  cut(60)  Salesforce  if different  60" in lines
    assert "AddressCity  mapping file" in lines
    assert "D365_Customer_Number__c  CustomerAccount  direct  F&O  goes back" in lines
    assert "left alone by the mapping file: PrimaryContactURL" in lines
    assert "if it keeps failing  4 deliveries, then dead-letter" in lines
    for name in ("contact", "opportunity", "customer", "invoice", "freetextinvoice", "product"):
        said = await duty.done("explain", name)
        assert said.width <= 100, name


# What goes wrong


@pytest.mark.parametrize(
    ("settings", "told", "step"),
    [
        (
            {"SALESFORCE_CLIENT_ID": "other"},
            "salesforce: Salesforce refused",
            "check the credentials",
        ),
        ({"SALESFORCE_LOGIN_URL": "http://127.0.0.1:1"}, "got no answer", "check the address"),
        ({"SALESFORCE_PRIVATE_KEY": "no key"}, "SALESFORCE_PRIVATE_KEY", "next: "),
        ({"AzureWebJobsStorage": "nonsense"}, "AzureWebJobsStorage: is not", "docs/settings.md"),
    ],
)
async def test_what_is_wrong_with_a_connection_is_one_sentence_with_its_next_step(
    duty: Operator, settings: dict[str, str], told: str, step: str
) -> None:
    said = await duty.run("limits", **settings)
    assert said.code in (1, 2)
    text = " ".join(said.err.split())
    assert told in text
    assert step in text
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"D365_CLIENT_SECRET": "wrong"}, "UNKNOWN F&O: d365: authentication: no token for F&O"),
        ({"D365_BASE_URL": "http://127.0.0.1:1"}, "UNKNOWN F&O: d365: unreachable"),
    ],
)
async def test_status_names_the_part_that_cannot_be_read_and_shows_the_rest(
    world: World, duty: Operator, settings: dict[str, str], told: str
) -> None:
    said = await duty.run("status", RETRY_CALL_DELAY="0.01", **settings)
    assert said.code == 1
    assert told in said.out
    assert "Salesforce calls" in said.out
    assert world.sandbox.entra.client_secret not in said.out + said.err


async def test_a_token_for_another_audience_is_an_answer_of_its_own(
    world: World, duty: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F&O refuses a token that is for another host than its own (F&O contract 1.2)."""
    authenticator = world.sandbox.d365.authenticator
    session = authenticator.session

    def moved(authorization: str, base_url: str, own_url: str | None) -> object:
        return session(authorization, "https://new.operations.test", "https://new.operations.test")

    monkeypatch.setattr(authenticator, "session", moved)
    said = await duty.run("status", RETRY_CALL_DELAY="0.01")
    assert said.code == 1
    assert "UNKNOWN F&O: d365: authentication" in said.out


async def test_a_missing_queue_and_a_throttled_system_name_the_next_step(
    world: World, duty: Operator
) -> None:
    queues = [queue for queue in topology.queues() if queue.name != topology.DEAD_LETTER]
    broker = Broker([replace(queue, forward_dead_letters_to=None) for queue in queues])
    await broker.start()
    try:
        said = await duty.run("dead-letters", "list", ServiceBus=broker.connection_string)
    finally:
        await broker.stop()
    assert said.code == 1
    assert "service_bus: the queue dead-letter does not exist" in said.err
    assert "next: create the queue" in said.err
    await world.fault("salesforce", match={"path": "limits"}, status=429, body=[], count=None)
    busy = await duty.run("limits", "--json", RETRY_CALL_DELAY="0.01")
    assert busy.code == 1
    assert busy.json["error"]["system"] == "salesforce"
    assert "next: wait" in busy.err


async def test_a_missing_field_and_a_missing_permission_are_named_by_the_dry_run(
    world: World, duty: Operator
) -> None:
    key = await world.create_settled()
    await world.put("salesforce", "schema", {"Account.Phone": {"hidden": True}})
    try:
        hidden = await duty.run("sync", "account", key, "--dry-run")
    finally:
        await world.put("salesforce", "schema", {})
    assert hidden.code == 1
    assert "Phone" in hidden.out
    body = {"error": {"code": "", "message": "Access denied to entity CustomersV3."}}
    await world.fault("d365", match={"path": "CustomersV3"}, status=403, body=body, count=None)
    denied = await duty.run("sync", "account", key, "--dry-run")
    assert denied.code == 1
    assert "would fail: forbidden" in denied.out
    status = await duty.run("status")
    assert "UNKNOWN F&O: d365: forbidden" in status.out
    listed = await duty.run("dead-letters", "list")
    assert "Traceback" not in denied.err + status.err + listed.err


async def test_without_network_every_command_ends_with_one_sentence_and_its_next_step(
    duty: Operator,
) -> None:
    """The state container stays, because its SDK asks again for ten seconds."""
    nowhere = {
        "SALESFORCE_LOGIN_URL": "http://127.0.0.1:1",
        "D365_BASE_URL": "http://127.0.0.1:1",
        "ServiceBus": "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=a2V5;"
        "UseDevelopmentEmulator=true;",
        "RETRY_CALL_DELAY": "0.01",
    }
    lines = (
        ("status",), ("limits",), ("dead-letters", "list"), ("dead-letters", "show", "1"),
        ("sync", "account", "--where", "Name != null", "--dry-run"),
    )  # fmt: skip
    said = await duty.together(*([line] for line in lines), **nowhere)
    for line, [each] in zip(lines, said, strict=True):
        assert each.code == 1, line
        assert "Traceback" not in each.err, line
        assert "next: " in each.out + each.err, line
    [status], *others = said
    assert re.findall(r"UNKNOWN (.+?):", status.out) == ["Salesforce", "F&O", "dead letters"]
    [accounts] = [line for line in words(status.out) if line.startswith("accounts ")]
    assert accounts.endswith("?  ?  0")  # nobody knows of dead letters and reviews
    assert all(each.out == "" for [each] in others)


async def test_libraries_say_nothing_beside_the_result(world: World) -> None:
    """A process of its own, because a test run has log handlers that would hide it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "integration", "sync", "account", "001000000000001AAA", "--dry-run",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**world.sandbox.env, "D365_CLIENT_SECRET": "wrong", "PATH": ""},
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert err == b""
    assert b"001000000000001AAA" in out


async def test_ctrl_c_ends_a_command_cleanly(world: World) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "integration", "status", "--watch", "--every", "1",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**world.sandbox.env, "PATH": ""},
    )  # fmt: skip
    assert process.stdout is not None
    first = await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 15)
    assert first.endswith(b"UTC\n")
    assert process.returncode == 130
    assert b"Traceback" not in err
