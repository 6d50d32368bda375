"""Queries and upserts in one call: what a part's failure costs the others, and what goes the ordinary way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integration.errors import RecordBusy, RecordRejected, Unreachable
from integration.salesforce.together import Upsert
from tests.unit.receivables_support import BothSystems, both_systems

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.salesforce.client import SalesforceClient

KEY = "D365_Key__c"


@pytest.fixture
async def world() -> AsyncIterator[BothSystems]:
    async with both_systems() as world:
        await client(world).identity()  # signed in
        assert world.calls
        yield world


def client(world: BothSystems) -> SalesforceClient:
    return world.invoices._salesforce


def invoices(count: int, **more: Any) -> Upsert:
    rows = [{KEY: f"i{n}", "Name": f"I {n}", **more} for n in range(count)]
    return Upsert("Invoice__c", KEY, rows)


def lines(count: int, parents: int = 1) -> Upsert:
    rows = [{KEY: f"l{n}", "Invoice__r": {KEY: f"i{n % parents}"}} for n in range(count)]
    return Upsert("Invoice_Line__c", KEY, rows)


async def test_parents_and_children_are_one_call(world: BothSystems) -> None:
    parents, children = await client(world).upsert_together([invoices(2), lines(300, 2)])
    assert world.calls == (1, 0)
    assert [result.error for result in (*parents, *children)] == [None] * 302
    assert parents[0].created
    again, _ = await client(world).upsert_together([invoices(2), lines(300, 2)])
    assert not again[0].created


async def test_more_than_fits_goes_the_ordinary_way(world: BothSystems) -> None:
    _, children = await client(world).upsert_together([invoices(1), lines(900)])
    assert len(children) == 900
    assert world.calls == (6, 0)


async def test_one_row_that_fails_is_its_own_failure(world: BothSystems) -> None:
    rows = [*invoices(2).records, {KEY: "i2", "Name": "x" * 81}]
    parents, children = await client(world).upsert_together(
        [Upsert("Invoice__c", KEY, rows), lines(3, 3)]
    )
    assert [bool(result.error) for result in parents] == [False, False, True]
    assert [bool(result.error) for result in children] == [False, False, True]
    assert isinstance(parents[2].error, RecordRejected)
    assert world.calls == (1, 0)


async def test_a_part_that_fails_as_a_whole_goes_again_and_so_do_its_children(
    world: BothSystems,
) -> None:
    match = {"path": "composite/sobjects/Invoice__c"}
    world.fault("salesforce", match=match, status=400, inner=True, count=1)
    parents, children = await client(world).upsert_together([invoices(1), lines(2)])
    assert [result.error for result in (*parents, *children)] == [None] * 3


async def test_a_row_that_met_a_limit_of_the_transaction_is_tried_again(world: BothSystems) -> None:
    limit = [
        {"statusCode": "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "message": "System.LimitException"}
    ]
    match = {"path": f"sobjects/Invoice__c/{KEY}/i0"}
    world.fault("salesforce", match=match, status=400, inner=True, count=1, body=limit)
    parents, children = await client(world).upsert_together([invoices(2), lines(2, 2)])
    assert [result.error for result in (*parents, *children)] == [None] * 4


async def test_keys_that_come_twice_or_are_empty_are_refused_unsent(world: BothSystems) -> None:
    twice = Upsert("Invoice__c", KEY, [{KEY: "i0"}, {KEY: "i0"}, {KEY: None}, {KEY: "i1"}])
    parents, children = await client(world).upsert_together([twice, lines(1, 1)])
    reasons = [result.error.reason if result.error else None for result in parents]
    assert reasons == ["duplicate-key", "duplicate-key", "empty-key", None]
    assert children[0].error is not None


async def test_a_value_without_json_form_spoils_its_own_row(world: BothSystems) -> None:
    rows = [*invoices(1).records, {KEY: "i1", "Name": object()}]
    parents, children = await client(world).upsert_together(
        [Upsert("Invoice__c", KEY, rows), lines(1)]
    )
    assert [bool(result.error) for result in (*parents, *children)] == [False, True, False]


async def test_trouble_of_the_system_is_the_error_of_every_row(world: BothSystems) -> None:
    world.fault("salesforce", status=503, count=None)
    parents, children = await client(world).upsert_together([invoices(1), lines(2)])
    assert all(isinstance(result.error, Unreachable) for result in (*parents, *children))


async def test_a_locked_row_stays_busy(world: BothSystems) -> None:
    match = {"path": f"sobjects/Invoice_Line__c/{KEY}/l0"}
    world.fault("salesforce", match=match, status=400, inner=True, count=1)
    _, children = await client(world).upsert_together([invoices(1), lines(2)])
    assert isinstance(children[0].error, RecordBusy)
    assert children[1].error is None


async def test_one_part_alone_is_an_ordinary_upsert_and_nothing_is_no_call(
    world: BothSystems,
) -> None:
    assert await client(world).upsert_together([invoices(0), lines(0)]) == [[], []]
    assert world.calls == (0, 0)
    (parents,) = await client(world).upsert_together([invoices(1)])
    assert parents[0].created


async def test_queries_are_one_call_and_long_answers_are_read_on(world: BothSystems) -> None:
    await world.insert("Account", *({"Name": f"A {n}"} for n in range(2100)))
    first, second = await client(world).query_together(
        ["SELECT Id FROM Account", "SELECT Id FROM Contact"]
    )
    assert (len(first), second) == (2100, [])
    assert world.calls[0] == 2


async def test_a_query_that_fails_raises(world: BothSystems) -> None:
    with pytest.raises(Exception, match="Nothing__c"):
        await client(world).query_together(
            ["SELECT Id FROM Account", "SELECT Nothing__c FROM Account"]
        )
    assert await client(world).query_together([]) == []
