"""What waits for a person is found by its cause, shown with its record, sent again in order, and cleared."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio
from azure.servicebus import ServiceBusMessage
from azure.servicebus.aio import ServiceBusClient

from integration.state.ledger import LedgerEntry, now
from sandbox import topology
from tests.end_to_end.operator_desk import Operator
from tests.end_to_end.world import DOWN, new_world

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
NUMBER = "D365_Customer_Number__c"
YES = ("--yes", "--why", "a test")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running() -> AsyncIterator[World]:
    async with new_world() as world:
        yield world


@pytest_asyncio.fixture(loop_scope="module")
async def duty(world: World) -> AsyncIterator[Operator]:
    operator = Operator(world)
    yield operator
    unlock(world)
    queue = world.sandbox.broker._hub(topology.DEAD_LETTER).queue
    while queue.take(lock=False):
        """What a test has left must not reach the next one."""


def unlock(world: World) -> None:
    """As after a minute: what an earlier command has passed over is there again."""
    world.sandbox.broker.expire_locks(topology.DEAD_LETTER)


async def unknown_country(world: World, count: int = 1) -> list[str]:
    keys = await world.create_many(count, BillingCountry="Atlantis")
    await world.settled()
    return keys


async def unknown_state(world: World, count: int = 1) -> list[str]:
    """F&O itself refuses it, and only when it is created."""
    keys = await world.create_many(count, BillingCountry="USA", BillingState="QQ")
    await world.settled()
    return keys


async def correct(world: World, *keys: str) -> None:
    """In Salesforce, without an event."""
    for key in keys:
        await world.change(key, events=False, BillingCountry="Germany", BillingState=None)


async def test_the_list_names_each_cause_with_counts_and_marks_what_is_in_step(
    world: World, duty: Operator
) -> None:
    wrong = await unknown_country(world, 2)
    await unknown_state(world)
    await correct(world, wrong[0])
    await world.tell(wrong[0])
    await world.settled()
    said = await duty.done("dead-letters", "list")
    lines = [re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "TIME", line) for line in said.out.splitlines()]
    assert [re.sub(" {2,}", "  ", line) for line in lines] == [
        "flow  kind  system  reason  cases  in step  first seen (UTC)  last seen (UTC)",
        "accounts  failed  app  mapping  2  1  TIME  TIME",
        "accounts  failed  d365  foreign-key  1  0  TIME  TIME",
        "",
        "3 cases of 3 records",
        "in step by now: 1 (python -m integration dead-letters purge --resolved)",
    ]
    assert said.width <= 100
    one_by_one = await duty.done("dead-letters", "list", "--all", "--reason", "mapping")
    for key, state in zip(wrong, ("in step", "would fail: mapping"), strict=True):
        assert re.search(rf"Account {key} .* {state}$", one_by_one.out, re.MULTILINE)
    assert "foreign-key" not in one_by_one.out
    resolved = await duty.json("dead-letters", "purge", "--resolved", *YES)
    assert len(resolved["removed"]) == 1
    assert world.letters(wrong[0]) == []
    assert len(world.sandbox.dead_letters()) == 2


async def test_show_tells_the_reason_and_the_record_on_both_sides_with_links(
    world: World, duty: Operator
) -> None:
    key = await world.create_settled(Name="Geheim GmbH")
    number = (await world.account(key))[NUMBER]
    await world.change(key, BillingCountry="Atlantis")
    await world.settled()
    said = await duty.done("dead-letters", "show", key)
    assert "is not a known country; correct it in Salesforce" in re.sub(r"\s+", " ", said.out)
    assert f"{world.sandbox.salesforce.url}/lightning/r/Account/{key}/view" in said.out
    assert f"CustomersV3 {number} in usmf" in said.out
    assert f"{world.sandbox.d365.url}/?cmp=usmf&mi=CustTableListPage" in said.out
    assert "Geheim" not in said.out
    [case] = (await duty.json("dead-letters", "show", key))["cases"]
    by_number = await duty.done("dead-letters", "show", case["id"], "--show-values")
    assert "Geheim GmbH" in by_number.out
    await world.fault("d365", **DOWN)
    half = await duty.run("dead-letters", "show", key, RETRY_CALL_DELAY="0.01")
    assert f"{world.sandbox.salesforce.url}/lightning/r/Account/{key}/view" in half.out
    assert "F&O could not be read (d365: unreachable)" in half.out
    await world.change(key, events=False, BillingCountry="Germany")
    listed = await duty.done("dead-letters", "list", "--all", RETRY_CALL_DELAY="0.01")
    assert f"Account {key}  accounts mapping" in listed.out
    assert "not compared: 1 case, because of d365: unreachable" in listed.out
    assert "in step by now" not in listed.out
    resolved = await duty.run("dead-letters", "purge", "--resolved", *YES, RETRY_CALL_DELAY="0.01")
    assert "1 case stays, not compared because of d365: unreachable" in resolved.err
    assert len(world.letters(key)) == 1
    nothing = await duty.run("dead-letters", "show", "001000000000000AAA")
    assert nothing.code == 2
    assert "nothing waits by the name 001000000000000AAA" in nothing.err


async def test_a_replay_sends_each_record_once_writes_what_differs_and_clears_the_letters(
    world: World, duty: Operator
) -> None:
    in_step, twice, once = keys = await unknown_country(world, 3)
    await world.tell(twice)
    await world.settled()
    await correct(world, *keys)
    await world.tell(in_step)
    await world.settled()
    world.forget_calls()
    said = await duty.done("dead-letters", "replay", *YES)
    assert re.findall(r"(\d+)  (in step .*)", said.out) == [
        ("1", "in step (unchanged)"),
        ("2", "in step (changed)"),
    ]
    assert [write.method for write in world.d365.writes_to_d365()] in (["POST"], ["POST", "POST"])
    assert await world.is_in_step(*keys)
    assert world.sandbox.dead_letters() == []
    [audit] = [each for each in duty.audited("dead-letters replay") if len(each["cases"]) == 4]
    assert audit["why"] == "a test"
    assert audit["who"]["user"]
    archived = [each["case"]["hint"]["key"] for each in duty.documents("archive/dead-").values()]
    assert sorted(key for key in archived if key in keys) == sorted([*keys, twice])
    assert once in archived
    assert duty.documents("outcomes/") == {}


async def test_the_records_of_one_account_go_one_after_another_until_one_fails(
    world: World, duty: Operator
) -> None:
    """Contacts behind their accounts: one is corrected, one is not."""
    corrected, wrong = await unknown_country(world, 2)
    behind = {}
    for account in (corrected, wrong):
        contact = await insert(world, "Contact", {"AccountId": account, "LastName": "Muster"})
        await keep(world, "contacts", "Contact", contact, account)
        behind[account] = contact
    await correct(world, corrected)
    found = await duty.json("dead-letters", "replay", *YES, code=1)
    assert [row["outcome"] for row in found["records"]] == ["synced", "dead-letter", "synced"]
    assert [row["key"] for row in found["records"]] == [corrected, wrong, behind[corrected]]
    assert len(world.letters(behind[wrong])) == 1
    persons = await world._rows("d365", "ContactPersons")
    assert behind[corrected] in {row["SalesforceContactId"] for row in persons}


async def test_the_canary_stops_a_cause_that_fails_again_and_lets_the_others_go_on(
    world: World, duty: Operator
) -> None:
    corrected = await unknown_country(world, 3)
    still_wrong = await unknown_state(world, 3)
    await correct(world, *corrected)
    world.forget_calls()
    said = await duty.run("dead-letters", "replay", "--canary", "1", *YES)
    assert said.code == 1
    assert "stopped: accounts foreign-key fails again" in said.out
    assert "not sent, and still where they were: 2 records" in said.out
    assert await world.is_in_step(*corrected)
    assert len(world.letters(*still_wrong)) == 3  # two untouched, one new
    assert sorted(letter["hint"]["replay"] for letter in world.letters(*still_wrong)) == [0, 0, 1]
    assert len([write for write in world.d365.writes_to_d365() if write.method == "POST"]) <= 4


async def test_the_ledger_is_listed_replayed_and_left_when_its_record_is_in_step(
    world: World, duty: Operator
) -> None:
    key = await world.create_settled()
    entry = LedgerEntry(
        flow="accounts", source="salesforce", object="Account", key=key, company=None, root=key,
        reason="account-missing", description="no such account", attempts=4, since=now(), at=now(),
    )  # fmt: skip
    fields = {name: getattr(entry, name) for name in LedgerEntry.__dataclass_fields__}
    duty.put(f"ledger/accounts/{key}.json", fields)
    found = await duty.json("dead-letters", "list", "--kind", "ledger")
    assert [(case["id"], case["in_step"]) for case in found["cases"]] == [
        (f"ledger/accounts/{key}", True)
    ]
    await duty.done("dead-letters", "replay", "--kind", "ledger", *YES)
    assert duty.documents("ledger/") == {}
    duty.put(f"ledger/accounts/{key}.json", fields)
    await duty.done("dead-letters", "purge", f"ledger/accounts/{key}", *YES)
    assert duty.documents("ledger/") == {}


async def test_what_nobody_can_read_is_shown_on_request_and_can_only_be_purged(
    world: World, duty: Operator
) -> None:
    await world.sandbox.send_raw(b"half a mess", session="bucket-000")
    await world.settled()
    [case] = (await duty.json("dead-letters", "list", "--kind", "undecodable"))["cases"]
    hidden = await duty.done("dead-letters", "show", case["id"])
    assert "half a mess" not in hidden.out
    assert (
        "half a mess" in (await duty.done("dead-letters", "show", case["id"], "--show-values")).out
    )
    replayed = await duty.done("dead-letters", "replay", *YES)
    assert "1 hold no record that could be sent again" in replayed.err
    assert len(world.sandbox.dead_letters()) == 1


async def test_nothing_is_removed_without_saying_what_and_why(world: World, duty: Operator) -> None:
    await unknown_country(world)
    for arguments, words in (
        (("purge", *YES), "this would remove everything"),
        (("purge", "--all", "--why", "x"), "add --yes"),
        (("replay", "--yes"), "needs a reason"),
    ):
        said = await duty.run("dead-letters", *arguments)
        assert said.code == 2, arguments
        assert words in said.err
    assert len(world.sandbox.dead_letters()) == 1


async def test_a_replay_that_nobody_answers_ends_and_says_so(world: World, duty: Operator) -> None:
    [key] = await unknown_country(world)
    world.sandbox.broker.pause(topology.CHANGES)
    said = await duty.run("dead-letters", "replay", key, "--timeout", "1", *YES)
    assert said.code == 1
    assert "no answer yet" in said.out
    assert "does the app run?" in said.out
    world.sandbox.broker.resume(topology.CHANGES)
    await world.settled()


async def insert(world: World, name: str, row: dict[str, Any]) -> str:
    url = f"{world.sandbox.salesforce.url}/sandbox/state/{name}"
    answer = await world.sandbox.http.post(url, json=[row], params={"events": "false"})
    answer.raise_for_status()
    return str(answer.json()["ids"][0])


async def keep(world: World, flow: str, name: str, key: str, root: str) -> None:
    """A dead letter as the app writes it."""
    from datetime import UTC, datetime

    from integration.messaging.dead_letters import DeadLetter
    from integration.messaging.hints import Hint

    hint = Hint(
        source="salesforce", object=name, key=key, root=root, event_id=f"e-{key}",
        seen_at=datetime.now(UTC),
    )  # fmt: skip
    letter = DeadLetter(
        kind="failed", flow=flow, reason="parent-missing", description="d", system="d365", hint=hint
    )
    async with (
        ServiceBusClient.from_connection_string(world.sandbox.broker.connection_string) as client,
        client.get_queue_sender(topology.DEAD_LETTER) as sender,
    ):
        await sender.send_messages(
            ServiceBusMessage(letter.to_bytes(), message_id=letter.message_id)
        )
