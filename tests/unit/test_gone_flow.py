"""Deleted and merged records on the engine: what is done, what is told, and what it costs."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from integration.errors import ConfigurationError, RecordNeedsReview, Unreachable
from integration.flows.engine import converge
from integration.flows.outcomes import Failed, Moved, Skipped, Synced
from tests.unit.account_support import BUCKET, NUMBER_FIELD
from tests.unit.account_support import A as FIRST
from tests.unit.account_support import B as SECOND
from tests.unit.account_support import C as THIRD
from tests.unit.contact_support import C, D
from tests.unit.gone_support import GoneWorld

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

UNCHANGED, CHANGED = Synced(changed=False), Synced(changed=True)
DELETED = Skipped("deleted-in-salesforce")


async def test_a_deleted_account_is_told_once_for_each_deletion() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    for _ in range(2):
        world.org.delete("Account", FIRST)
        await world.tell(FIRST)
        assert (await world.tell(FIRST)) == Skipped(DELETED.reason, "reported before")
        world.org.undelete("Account", FIRST)
        assert await world.tell(FIRST) == UNCHANGED
    assert world.reasons(FIRST) == ["deleted-in-salesforce"] * 2
    assert world.d365.calls["write"] == 0


async def test_a_review_that_was_not_kept_is_raised_again() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    for _ in range(2):
        outcome = await world.outcome(FIRST)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, RecordNeedsReview)


@pytest.mark.parametrize("named", [True, False])
async def test_a_customer_that_the_account_only_names_hangs_on_it_if_it_is_nobody_elses(
    named: bool,
) -> None:
    world = GoneWorld()
    world.account(FIRST)
    world.org.tables["Account"][FIRST][NUMBER_FIELD] = "OLD-1"
    world.d365.add_customer("OLD-1", "" if named else SECOND)
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    assert world.reasons(FIRST) == (["deleted-in-salesforce"] if named else [])


async def test_what_salesforce_does_not_show_is_not_taken_for_deleted() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    del world.org.tables["Account"][FIRST]
    assert await world.tell(FIRST) == Skipped("not-found")
    assert world.customer(FIRST)["OnHoldStatus"] == "No"


async def test_a_record_that_came_back_between_two_calls_is_not_gone() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")

    async def sees_nothing(*_: object) -> dict[str, dict[str, object]]:
        return {}

    world.org.retrieve = sees_nothing  # type: ignore[method-assign]
    assert await world.tell(FIRST) == Skipped("not-found")
    assert world.d365.calls.total() == 0


async def test_an_ignored_deletion_does_not_even_look_into_dynamics() -> None:
    world = GoneWorld(accounts="ignore")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    assert await world.tell(FIRST) == DELETED
    assert world.d365.calls.total() == 0


async def test_those_that_are_there_go_on_when_the_deleted_cannot_be_asked_for() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    error = Unreachable("down", system="salesforce")

    async def fails(*_: object, **__: object) -> AsyncIterator[dict[str, object]]:
        raise error
        yield {}

    world.org.query = fails  # type: ignore[method-assign]
    outcomes = await converge(world.flows["Account"], dict.fromkeys((FIRST, SECOND), BUCKET))
    assert outcomes == {FIRST: UNCHANGED, SECOND: Failed(error)}


async def test_a_mark_is_noted_before_it_is_set() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    seen = []

    def look() -> None:
        document = world.store.documents[f"marks/Account/{FIRST}.json"]
        seen.append(json.loads(document.body))

    world.d365.meanwhile.append(look)
    assert await world.tell(FIRST) == CHANGED
    assert [(note["phase"], note["values"]) for note in seen] == [
        ("setting", {"OnHoldStatus": ["No", "All"]})
    ]
    assert world.customer(FIRST)["OnHoldStatus"] == "All"
    mark = await world.notes.mark("Account", FIRST)
    assert mark is not None
    assert (mark.phase, mark.holder) == ("set", "customer US-1 in usmf")


async def test_a_mark_that_was_begun_and_not_set_is_set_by_the_next_attempt() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    world.d365.no_answer = Unreachable("down", system="d365")
    with pytest.raises(Unreachable):
        await world.tell(FIRST)
    world.d365.no_answer = None
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == "All"
    world.org.undelete("Account", FIRST)
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == "No"


async def test_taking_back_is_repeated_after_a_lost_attempt() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    world.org.undelete("Account", FIRST)
    world.d365.no_answer = Unreachable("down", system="d365")
    with pytest.raises(Unreachable):
        await world.tell(FIRST)
    world.d365.no_answer = None
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == "No"
    assert await world.notes.mark("Account", FIRST) is None


async def test_a_block_long_after_a_taking_back_whose_end_was_not_noted_is_a_persons() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    world.org.undelete("Account", FIRST)
    mark = await world.notes.mark("Account", FIRST)
    assert mark is not None
    at = world.now.replace(day=1, month=2).isoformat()
    await world.notes.save("Account", FIRST, replace(mark, phase="lifting", at=at))
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == "All"
    assert await world.notes.mark("Account", FIRST) is None


async def test_a_change_and_a_taking_back_are_one_write() -> None:
    world = GoneWorld(accounts="mark", customer_field="SalesMemo", customer_mark="Gone")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    assert world.customer(FIRST)["SalesMemo"] == "Gone"
    world.org.undelete("Account", FIRST)
    world.org.tables["Account"][FIRST]["Name"] = "Renamed"
    before = world.d365.calls["write"]
    assert await world.tell(FIRST) == CHANGED
    assert world.d365.calls["write"] == before + 1
    row = world.customer(FIRST)
    assert (row["SalesMemo"], row["OrganizationName"]) == ("", "Renamed")


async def test_another_text_in_the_field_of_the_mark_is_left_and_told() -> None:
    world = GoneWorld(accounts="mark", customer_field="SalesMemo")
    world.account(FIRST, "US-1")
    world.customer(FIRST)["SalesMemo"] = "pays late"
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    await world.tell(FIRST)
    assert world.customer(FIRST)["SalesMemo"] == "pays late"
    assert world.reasons(FIRST) == ["deleted-in-salesforce"]
    assert "pays late" not in world.reviews[0][1].description


def test_a_mark_without_its_field_is_a_mistake_that_names_the_setting() -> None:
    for name, field in (("accounts", "CUSTOMER"), ("contacts", "CONTACT")):
        with pytest.raises(ValueError, match=f"DELETED_{field}_FIELD"):
            GoneWorld(**{name: "mark"})


def test_a_mark_in_a_field_that_the_mapping_writes_is_a_mistake() -> None:
    mapping = '[accounts.fields.SalesMemo]\nsource = "Description"\n'
    with pytest.raises(ConfigurationError, match="DELETED_CUSTOMER_FIELD"):
        GoneWorld(mapping=mapping, accounts="mark", customer_field="SalesMemo")


async def test_what_a_person_took_back_is_not_set_again_for_the_same_deletion() -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    world.customer(FIRST)["OnHoldStatus"] = "No"
    assert await world.tell(FIRST) == Skipped(DELETED.reason, "nothing to set")
    assert world.customer(FIRST)["OnHoldStatus"] == "No"


@pytest.mark.parametrize("now", ["Invoice", "No"])
async def test_what_a_person_set_instead_is_not_taken_back(now: str) -> None:
    world = GoneWorld(accounts="block")
    world.account(FIRST, "US-1")
    world.org.delete("Account", FIRST)
    await world.tell(FIRST)
    world.customer(FIRST)["OnHoldStatus"] = now
    world.org.undelete("Account", FIRST)
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == now
    world.customer(FIRST)["OnHoldStatus"] = "All"  # later, for reasons of their own
    await world.tell(FIRST)
    assert world.customer(FIRST)["OnHoldStatus"] == "All"


# Merges


async def test_a_merged_account_without_customer_leads_to_the_survivor_alone() -> None:
    world = GoneWorld()
    world.account(FIRST)
    world.account(SECOND, "US-2")
    world.org.merge("Account", FIRST, SECOND)
    assert await world.outcome(FIRST) == Moved(SECOND, SECOND)
    assert world.d365.calls["write"] == 0


async def test_a_merge_into_an_account_that_was_deleted_since_is_a_deletion() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND)
    world.org.merge("Account", FIRST, SECOND)
    world.org.delete("Account", SECOND)
    await world.tell(FIRST)
    assert world.reasons(FIRST) == ["deleted-in-salesforce"]
    assert len(world.customers(FIRST)) == 1


async def test_several_customers_of_the_merged_account_are_for_a_person() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.d365.add_customer("US-9", FIRST)
    world.account(SECOND)
    world.org.merge("Account", FIRST, SECOND)
    await world.tell(FIRST)
    await world.tell(FIRST)
    assert world.reasons(FIRST) == ["several-customers"]
    assert world.reasons(SECOND)[:1] == ["several-customers"]
    assert len(world.customers()) == 2


@pytest.mark.parametrize("together", [(FIRST, SECOND), (THIRD, SECOND, FIRST)])
async def test_of_two_accounts_merged_into_a_third_one_alone_gives_it_its_customer(
    together: tuple[str, ...],
) -> None:
    """One merge of three accounts: its hints are handled in one batch."""
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND, "US-2")
    world.account(THIRD)
    world.org.merge("Account", FIRST, THIRD)
    world.org.merge("Account", SECOND, THIRD)
    await world.tell(*together)
    customer = world.customer(THIRD)
    assert world.org.tables["Account"][THIRD][NUMBER_FIELD] == customer["CustomerAccount"]
    [other] = {"US-1", "US-2"} - {customer["CustomerAccount"]}
    alias = (await world.aliases.find([f"usmf|{other}"]))[f"usmf|{other}"]
    assert (alias.account, alias.into) == (THIRD, f"usmf|{customer['CustomerAccount']}")


async def test_the_alias_knows_the_survivors_number_and_follows_later_merges() -> None:
    world = GoneWorld()
    for key, number in ((FIRST, "US-1"), (SECOND, "US-2"), (THIRD, "US-3")):
        world.account(key, number)
    world.org.merge("Account", FIRST, SECOND)
    await world.tell(FIRST)
    found = await world.aliases.find(["usmf|US-1"])
    assert (found["usmf|US-1"].into, found["usmf|US-1"].account) == ("usmf|US-2", SECOND)
    world.org.merge("Account", SECOND, THIRD)
    await world.tell(SECOND)
    found = await world.aliases.find(["usmf|US-1", "usmf|US-2", "usmf|US-3"])
    assert {number: (a.into, a.account) for number, a in found.items()} == {
        "usmf|US-1": ("usmf|US-3", THIRD),
        "usmf|US-2": ("usmf|US-3", THIRD),
    }


async def test_a_merged_account_that_comes_back_has_its_number_for_itself() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND, "US-2")
    world.org.merge("Account", FIRST, SECOND)
    await world.tell(FIRST)
    world.org.undelete("Account", FIRST)
    await world.tell(FIRST)
    assert await world.aliases.find(["usmf|US-1"]) == {}
    assert world.d365.calls["write"] == 0


async def test_an_alias_is_noted_before_the_review_is_raised() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND, "US-2")
    world.org.merge("Account", FIRST, SECOND)
    outcome = await world.outcome(FIRST)
    assert isinstance(outcome, Failed)
    assert await world.aliases.read("usmf|US-1") is not None
    again = await world.outcome(FIRST)  # nothing was kept of the first attempt
    assert isinstance(again, Failed)


async def test_a_survivor_whose_own_customer_is_gone_takes_over_the_merged_ones() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND)
    world.org.merge("Account", FIRST, SECOND)
    await world.tell(SECOND, SECOND)
    assert world.customer(SECOND)["CustomerAccount"] == "US-1"
    assert world.org.tables["Account"][SECOND][NUMBER_FIELD] == "US-1"
    assert world.customer(SECOND)["OrganizationName"] == "Company 0000000002"


async def test_an_account_that_was_never_touched_is_created_without_asking_for_merges() -> None:
    world = GoneWorld()
    world.account(FIRST)
    assert await world.tell(FIRST) == CHANGED
    assert world.org.calls["query"] == 0


async def test_accounts_with_customers_ask_nobody_for_merges() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1", SystemModstamp="2025-02-01T10:00:00.000+0000")
    assert await world.tell(FIRST) == UNCHANGED
    assert (world.org.calls["query"], world.d365.calls.total()) == (0, 1)


async def test_a_person_of_a_merged_accounts_customer_goes_on_there() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.account(SECOND, "US-2")
    world.contact(C, FIRST, "P-1")
    world.org.merge("Account", FIRST, SECOND)
    world.org.tables["Contact"][C]["Title"] = "Boss"
    assert await world.tell(C, name="Contact") == CHANGED  # before anybody told of the accounts
    [person] = world.d365.persons()
    assert (person["AssociatedPartyNumber"], person["EmploymentJobTitle"]) == ("P-US-1", "Boss")
    await world.tell(FIRST)
    world.org.bin["Account"].clear()  # Salesforce forgets after some days, the alias does not
    assert await world.tell(C, name="Contact") == UNCHANGED


async def test_a_merged_contact_gives_its_person_to_the_survivor() -> None:
    world = GoneWorld()
    world.account(FIRST, "US-1")
    world.contact(C, FIRST, "P-1")
    world.contact(D, FIRST)
    world.org.merge("Contact", C, D)
    await world.tell(D, C, name="Contact")
    [person] = world.d365.persons()
    assert (person["ContactPersonId"], person["SalesforceContactId"]) == ("P-1", D)
    assert world.org.tables["Contact"][D]["D365_Contact_Number__c"] == "P-1"
    assert world.reviews == []
