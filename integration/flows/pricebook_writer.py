"""Brings Product2 and PricebookEntry in step by sObject Collections (Salesforce contract 7).

The path for few rows, and for those that a load by Bulk API 2.0 could not bring in step. Key fields of an
entry can only be set when it is created, so existing entries are read, new ones inserted with all
fields and others updated in price and activity alone. Standard prices go before custom ones.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from integration.errors import RecordError, RecordRejected
from integration.flows.pricebook_changes import (
    ENTRY_KEY,
    EntryWrites,
    Org,
    add_entry_writes,
    check_currencies,
    product_changes,
)
from integration.flows.pricebook_reader import PricebookReader
from integration.jobs.job import RowFailure
from integration.jobs.kinds import PRICES
from integration.mapping.products import EXTERNAL_ID
from integration.telemetry import audit, log_event

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.errors import IntegrationError
    from integration.flows.flow import Record
    from integration.flows.pricebook_changes import EntryWrite, WantedItem
    from integration.salesforce.client import SalesforceClient


@dataclass(slots=True)
class Pushed:
    """`confirmed`: items of which Salesforce now holds everything."""

    confirmed: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[RowFailure] = field(default_factory=list)


class PriceTarget(Protocol):
    async def org(self) -> Org:
        """The price books of the rules. Raises RecordRejected where one is missing."""

    async def push(self, items: Sequence[WantedItem]) -> Pushed:
        """Compares with what is there and writes the differences.

        Trouble of single rows is in the result, all else is raised.
        """


class CollectionsPriceTarget:
    def __init__(
        self,
        client: SalesforceClient,
        books: Sequence[str],
        columns: Sequence[str],
        *,
        dry: bool = False,
    ) -> None:
        """`books`: names of all price books with a rule; `columns` of Product2 that are written.

        `dry` counts and logs the differences and writes nothing.
        """
        self._client = client
        self._read = PricebookReader(client, books, columns)
        self._dry = dry

    async def org(self) -> Org:
        return Org(await self._read.books(), await self._read.has_currencies())

    async def push(self, items: Sequence[WantedItem]) -> Pushed:
        pushed = Pushed()
        if items:
            await _Push(self._client, self._read, pushed, dry=self._dry).run(items)
        return pushed


class _Push:
    """One call of `push`."""

    def __init__(
        self, client: SalesforceClient, read: PricebookReader, pushed: Pushed, *, dry: bool
    ) -> None:
        self._client = client
        self._read = read
        self._pushed = pushed
        self._dry = dry
        self._failed: set[str] = set()

    async def run(self, items: Sequence[WantedItem]) -> None:
        active = [each for each in items if each.is_active]
        org = Org(await self._read.books(), await self._read.has_currencies())
        check_currencies(active, org)
        known = await self._read.products(each.item for each in items)
        ids = {item: str(row["Id"]) for item, row in known.items()}
        ids |= await self._products(items, known)
        entries = await self._read.entries(
            [each.item for each in active if each.item in known],
            org.books.values(),
            currencies=org.currencies,
        )
        writes = EntryWrites()
        for each in active:
            if each.item in ids:
                existing = entries.get(each.item, {})
                add_entry_writes(writes, each, ids[each.item], existing, org)
        await self._entries(writes, org)
        self._pushed.confirmed = {each.item for each in items} - self._failed

    async def _products(
        self, items: Sequence[WantedItem], known: Mapping[str, Record]
    ) -> dict[str, str]:
        """Writes what differs and returns the ids of the new products."""
        rows: list[Record] = []
        for each in items:
            current = known.get(each.item)
            if current is None and not each.is_active:
                self._pushed.counts["skipped:inactive-unknown"] += 1
            elif current is None:
                rows.append(each.fields)
            elif changes := product_changes(each.fields, current):
                rows.append({**changes, EXTERNAL_ID: each.item})
        if self._dry:
            for row in rows:
                self._would("product", str(row[EXTERNAL_ID]), row)
            # Stands for the id, so that the prices of a new product are counted too.
            return {str(row[EXTERNAL_ID]): "" for row in rows if row[EXTERNAL_ID] not in known}
        results = await self._client.upsert_many("Product2", EXTERNAL_ID, rows)
        new: dict[str, str] = {}
        trouble: list[IntegrationError] = []
        for row, result in zip(rows, results, strict=True):
            item = str(row[EXTERNAL_ID])
            if result.error is None:
                self._written("product", item, row, created=result.created)
                new[item] = str(result.id)
            elif isinstance(result.error, RecordError):
                self._refuse(item, item, result.error)
            else:
                trouble.append(result.error)
        if trouble:
            raise trouble[0]
        return new

    async def _entries(self, writes: EntryWrites, org: Org) -> None:
        missing = {
            (write.item, write.currency)
            for write in await self._write(writes.standard, org)
            if write.is_insert
        }
        custom = []
        for write in writes.custom:
            if write.is_insert and (write.item, write.currency) in missing:
                text = "the standard price it needs was refused"
                self._refuse(write.item, write.key, RecordRejected(text, reason="standard-price"))
            else:
                custom.append(write)
        await self._write(custom, org)
        await self._write(writes.closing, org)

    async def _write(self, writes: Sequence[EntryWrite], org: Org) -> list[EntryWrite]:
        """Returns those that were refused."""
        if self._dry:
            for write in writes:
                self._would("price", write.key, write.values)
            return []
        inserts = [write for write in writes if write.is_insert]
        updates = [write for write in writes if not write.is_insert]
        results = [
            *await self._client.upsert_many(
                "PricebookEntry", ENTRY_KEY, [write.values for write in inserts]
            ),
            *await self._client.update_many("PricebookEntry", [write.values for write in updates]),
        ]
        refused: list[tuple[EntryWrite, RecordError]] = []
        trouble: list[IntegrationError] = []
        for write, result in zip((*inserts, *updates), results, strict=True):
            if result.error is None:
                self._written("price", write.key, write.values, created=write.is_insert)
            elif isinstance(result.error, RecordError):
                refused.append((write, result.error))
            else:
                trouble.append(result.error)
        if trouble:
            raise trouble[0]
        return await self._refused(refused, org)

    async def _refused(
        self, refused: Sequence[tuple[EntryWrite, RecordError]], org: Org
    ) -> list[EntryWrite]:
        """An insert may be refused because the answer to an earlier one was lost: looks before it says so."""
        inserts = {write.item for write, _ in refused if write.is_insert}
        there = await self._read.entries(inserts, org.books.values(), currencies=org.currencies)
        kept: list[EntryWrite] = []
        for write, error in refused:
            place = org.place((write.book, write.currency))
            entry = there.get(write.item, {}).get(place) if write.is_insert else None
            if entry is None or (entry.price, entry.active, entry.key) != (
                write.values["UnitPrice"],
                True,
                write.key,
            ):
                self._refuse(write.item, write.key, error)
                kept.append(write)
        return kept

    def _written(self, what: str, key: str, values: Record, *, created: bool) -> None:
        operation = "create" if created else "update"
        self._pushed.counts[f"{what}s_{operation}d"] += 1
        audit(PRICES, f"{operation}-{what}", key, [name for name in values if name != "Id"])

    def _would(self, what: str, key: str, values: Record) -> None:
        self._pushed.counts[f"{what}s_differing"] += 1
        fields = ",".join(name for name in values if name != "Id")
        log_event("dry run: would write", flow=PRICES, what=what, key=key, fields=fields)

    def _refuse(self, item: str, key: str, error: RecordError) -> None:
        self._failed.add(item)
        self._pushed.counts["failed"] += 1
        self._pushed.failures.append(RowFailure.of(key, error))
        log_event(
            "row refused",
            level=logging.WARNING,
            flow=PRICES,
            key=key,
            reason=error.reason,
            description=error.description,
        )
