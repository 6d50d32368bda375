"""Pages of a big table in order: the stand-in's sorted indexes against plain sorting (F&O contract 2.4)."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.d365.environment import Environment
from sandbox.d365.queries import read_many
from sandbox.d365.seed import load

AGREEMENTS = "SalesPriceAgreements"
COMPANIES = ("usmf", "demf", "gbsi")
ITEMS = st.sampled_from(["A", "a1", "B", " B", "b2", "C", "Ä", ""])
ROW = st.tuples(st.sampled_from(COMPANIES), ITEMS, st.integers(1, 30))


def ask(environment: Environment, **options: str) -> list[dict[str, Any]]:
    entity = environment.model.entities[AGREEMENTS]
    given_options = {"cross-company": "true", **{f"${k}": v for k, v in options.items()}}
    body = read_many(environment, entity, given_options, company="usmf", base_url="")
    rows: list[dict[str, Any]] = body["value"]
    return rows


def agreement(company: str, item: str, record: int) -> dict[str, Any]:
    return {"dataAreaId": company, "ItemNumber": item, "RecordId": record}


@settings(max_examples=60, deadline=None)
@given(
    first=st.lists(ROW, max_size=40),
    second=st.lists(ROW, max_size=10),
    removed=st.lists(ROW, max_size=10),
    company=st.sampled_from(COMPANIES),
    low=ITEMS,
    high=ITEMS,
)
def test_rows_found_along_an_index_are_those_of_a_plain_search(
    first: list[tuple[str, str, int]],
    second: list[tuple[str, str, int]],
    removed: list[tuple[str, str, int]],
    company: str,
    low: str,
    high: str,
) -> None:
    environment = Environment(custom_fields={})
    table = environment.store.tables[AGREEMENTS]
    orders = (
        "ItemNumber,RecordId",
        "ItemNumber,dataAreaId,RecordId",
        "dataAreaId,ItemNumber,RecordId",
    )
    for rows in (first, second, removed):
        if rows is removed:
            for row in rows:
                key = table.key_of(agreement(*row))
                if key in table.rows:
                    environment.store.delete(table, key)
        else:
            load(environment, AGREEMENTS, [agreement(*row) for row in rows])
        stored = [row.values for row in table.rows.values()]
        for order in orders:
            names = order.split(",")
            for text, wanted in (
                ("", lambda row: True),
                (
                    f"ItemNumber gt '{low}'",
                    lambda row: item(row) > low.lower(),
                ),
                (
                    f"dataAreaId eq '{company}' and ItemNumber gt '{low}' and ItemNumber le '{high}'",
                    lambda row: (
                        row["dataAreaId"] == company and low.lower() < item(row) <= high.lower()
                    ),
                ),
                (
                    f"dataAreaId gt '{company}' or (dataAreaId eq '{company}' and"
                    f" ItemNumber ge '{low}')",
                    lambda row: (row["dataAreaId"], item(row)) >= (company, low.lower()),
                ),
                (
                    f"not (ItemNumber lt '{low}') or ItemNumber eq '{high}'",
                    lambda row: item(row) >= low.lower() or item(row) == high.lower(),
                ),
            ):
                expected = sorted(filter(wanted, stored), key=lambda row: sort_key(row, names))
                options = {"filter": text} if text else {}
                found = ask(environment, orderby=order, **options)
                # Rows that tie come in any order
                assert [sort_key(row, names) for row in found] == [
                    sort_key(row, names) for row in expected
                ]
                assert identities(found) == identities(expected)
                unordered = ask(environment, **options)
                assert identities(unordered) == identities(expected)


def identities(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted((row["dataAreaId"], row["RecordId"], row.get("ItemNumber", "")) for row in rows)


def item(row: dict[str, Any]) -> str:
    return str(row.get("ItemNumber", "")).lower()


def sort_key(row: dict[str, Any], names: list[str]) -> tuple[Any, ...]:
    return tuple(item(row) if name == "ItemNumber" else row[name] for name in names)


@pytest.fixture(scope="module")
def big() -> Environment:
    environment = Environment(custom_fields={})
    rows = (agreement("usmf", f"P{n // 5:06}", 5_637_200_000 + n) for n in range(100_000))
    assert load(environment, AGREEMENTS, rows) == 100_000
    return environment


def test_a_page_costs_a_page_wherever_it_lies(big: Environment) -> None:
    select = "ItemNumber,RecordId"
    ask(big, orderby="ItemNumber,RecordId", top="1", select=select)  # builds the index
    everything = time.perf_counter()
    ask(big, orderby="RecordId,ItemNumber", top="1", select=select)  # no index has this order
    everything = time.perf_counter() - everything
    for order, after in (
        ("ItemNumber,RecordId", "ItemNumber gt 'P019000'"),
        ("ItemNumber,dataAreaId", "ItemNumber gt 'P000100'"),
        ("ItemNumber,RecordId", "dataAreaId eq 'usmf' and ItemNumber gt 'P010000'"),
    ):
        seconds = everything
        for _ in range(3):
            started = time.perf_counter()
            rows = ask(big, orderby=order, filter=after, top="50", select=select)
            seconds = min(seconds, time.perf_counter() - started)
        assert len(rows) == 50
        assert rows[0]["ItemNumber"] == f"P{int(after[-7:-1]) + 1:06}"
        assert seconds < everything / 5


def test_pages_read_by_key_make_up_the_table(big: Environment) -> None:
    seen: list[int] = []
    text = "ItemNumber ge ''"
    while rows := ask(big, orderby="ItemNumber,RecordId", filter=text, top="10000"):
        last = rows[-1]["ItemNumber"]
        whole = [row for row in rows if row["ItemNumber"] != last] if len(rows) == 10_000 else rows
        seen += [row["RecordId"] for row in whole]
        if len(rows) < 10_000:
            break
        text = f"ItemNumber ge '{last}'"
    assert seen == list(range(5_637_200_000, 5_637_300_000))


def test_a_row_that_fails_half_way_is_undone_alone() -> None:
    committed: list[int] = []
    environment = Environment(custom_fields={})
    environment.on_commit = lambda changes: committed.append(len(changes))
    store = environment.store
    table = store.tables[AGREEMENTS]
    with store.transaction():
        store.insert(table, agreement("usmf", "A", 1))
        with suppress(RuntimeError), store.transaction():
            store.insert(table, agreement("usmf", "B", 2))
            raise RuntimeError
        with store.transaction():
            store.insert(table, agreement("usmf", "C", 3))
    assert [row.values["ItemNumber"] for row in table.rows.values()] == ["A", "C"]
    assert [row["ItemNumber"] for row in ask(environment, orderby="ItemNumber")] == ["A", "C"]
    assert committed == [2]
