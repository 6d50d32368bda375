"""Rows with their children in one query, and amounts without a float on the way."""

from __future__ import annotations

from decimal import Decimal

import httpx
import pytest

from integration.errors import ContractError
from integration.salesforce.soql import in_list, select
from tests.unit.test_salesforce_client import ROOT, page, paths
from tests.unit.test_salesforce_org import FakeOrg, org

__all__ = ["org"]


def test_children_are_selected_within_their_parent() -> None:
    lines = select("OpportunityLineItems", ("Id", "Product2.Name"), order_by=("SortOrder",))
    soql = select("Opportunity", ("Id",), children=(lines,), where=in_list("Id", ["a"]))
    assert soql == (
        "SELECT Id,(SELECT Id,Product2.Name FROM OpportunityLineItems ORDER BY SortOrder)"
        " FROM Opportunity WHERE Id IN ('a')"
    )


async def test_no_children_and_few_children_cost_no_call(org: FakeOrg) -> None:
    client = org.client()
    assert await client.children({"Lines": None}, "Lines") == []
    assert await client.children({"Lines": page(["a", "b"])[1]}, "Lines") == [
        {"Name": "a"},
        {"Name": "b"},
    ]
    assert org.requests == []


async def test_further_pages_of_children_are_read(org: FakeOrg) -> None:
    org.replies = [page(["c"], f"{ROOT}/query/01gAa-4"), page(["d"])]
    row = {"Lines": page(["a", "b"], f"{ROOT}/query/01gAa-2")[1]}
    rows = await org.client().children(row, "Lines")
    assert [row["Name"] for row in rows] == list("abcd")
    assert paths(org) == [f"{ROOT}/query/01gAa-2", f"{ROOT}/query/01gAa-4"]


async def test_children_that_make_no_sense_are_refused(org: FakeOrg) -> None:
    with pytest.raises(ContractError):
        await org.client().children({"Lines": {"done": True}}, "Lines")


async def test_fractions_are_exact_decimals(org: FakeOrg) -> None:
    body = b'{"done":true,"records":[{"Amount":1234567890123456.78,"Count":3,"Name":null}]}'
    headers = {"content-type": "application/json"}
    org.replies = [httpx.Response(200, content=body, headers=headers)]
    [row] = await org.client().query_all_rows("SELECT Amount FROM Opportunity")
    assert row["Amount"] == Decimal("1234567890123456.78")
    assert isinstance(row["Count"], int)
