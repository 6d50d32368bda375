"""The reconciliation ledger: one document per record, first failure remembered, gone when in step."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from integration.state.blobs import Document
from integration.state.ledger import Ledger, LedgerEntry

ENTRY = LedgerEntry(
    flow="invoices",
    source="d365",
    object="SalesInvoice",
    key="usmf|free/text|1 ü|V1",
    company="usmf",
    root="US-1",
    reason="account-missing",
    description="no account has this number",
    attempts=4,
    since="2025-03-01T12:00:00+00:00",
    at="2025-03-01T13:00:00+00:00",
)


class MemoryStore:
    def __init__(self) -> None:
        self.documents: dict[str, bytes] = {}

    async def read(self, name: str) -> Document | None:
        body = self.documents.get(name)
        return None if body is None else Document(body, "1")

    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
        self.documents[name] = body
        return "1"

    async def delete(self, name: str) -> None:
        self.documents.pop(name, None)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        for name in [name for name in self.documents if name.startswith(prefix)]:
            yield name


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def ledger(store: MemoryStore) -> Ledger:
    return Ledger(store)


async def test_an_entry_comes_back_as_it_was(ledger: Ledger) -> None:
    await ledger.record(ENTRY)
    assert [entry async for entry in ledger.entries()] == [ENTRY]


async def test_a_key_cannot_leave_its_folder(ledger: Ledger, store: MemoryStore) -> None:
    await ledger.record(replace(ENTRY, key="../../watermarks/x"))
    assert list(store.documents) == ["ledger/invoices/..%2F..%2Fwatermarks%2Fx.json"]


async def test_failing_again_keeps_the_first_time_and_adds_up(ledger: Ledger) -> None:
    await ledger.record(ENTRY)
    again = replace(ENTRY, since="2025-03-02T00:00:00+00:00", at="2025-03-02T01:00:00+00:00")
    await ledger.record(replace(again, reason="validation"))
    [entry] = [entry async for entry in ledger.entries()]
    assert (entry.since, entry.at, entry.attempts, entry.reason) == (
        ENTRY.since,
        again.at,
        8,
        "validation",
    )


async def test_a_settled_record_leaves_and_settling_twice_is_harmless(ledger: Ledger) -> None:
    await ledger.record(ENTRY)
    await ledger.record(replace(ENTRY, key="other"))
    for _ in range(2):
        await ledger.settle("invoices", ENTRY.key)
    assert [entry.key async for entry in ledger.entries()] == ["other"]


async def test_the_entries_of_one_flow_can_be_read_alone(ledger: Ledger) -> None:
    await ledger.record(ENTRY)
    await ledger.record(replace(ENTRY, flow="invoices-old"))
    assert [entry.flow async for entry in ledger.entries("invoices")] == ["invoices"]


async def test_what_is_settled_while_reading_is_left_out(
    ledger: Ledger, store: MemoryStore
) -> None:
    await ledger.record(ENTRY)
    await ledger.record(replace(ENTRY, key="zzz"))
    found = []
    async for entry in ledger.entries():
        found.append(entry.key)
        store.documents.clear()
    assert found == [ENTRY.key]
