"""Writes balances to Account and Invoice__c: only rows that exist, only fields that differ.

An upsert would create what is not there, and a Collections upsert has no "update only". So the rows are
looked up by External ID first, up to a thousand in one composite call; what they hold is compared, and
the differences are updated by Id. A row that is missing waits: the flow that creates it comes later.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from integration.errors import ContractError, RecordError
from integration.jobs.job import RowFailure
from integration.jobs.kinds import PAYMENTS
from integration.mapping.invoices import INVOICE, OPEN, STATUS
from integration.mapping.payments import (
    ACCOUNT_AMOUNTS,
    CURRENCY,
    LAST_PAYMENT,
    differences,
)
from integration.salesforce.composite import QUERIES, SubRequest
from integration.salesforce.ids import to_18
from integration.salesforce.soql import in_list, literal, select
from integration.telemetry import audit, log_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from integration.flows.flow import Record
    from integration.mapping.values import Value
    from integration.salesforce.client import SalesforceClient

ACCOUNT = "Account"
INVOICE_KEY = "D365_Key__c"
_QUERY_CHARACTERS = 10_000  # percent-encoded, of the keys of one query
_QUERY_KEYS = 400


@dataclass(frozen=True, slots=True)
class WantedRow:
    """`key` is the External ID; `entry` names the row in the fingerprints, `digest` what it then holds."""

    object: str
    key: str
    values: Mapping[str, Value]
    entry: str
    digest: str


@dataclass(slots=True)
class _Change:
    """One row to send, and the entries that it confirms."""

    record: dict[str, Any]
    entries: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Written:
    """`confirmed`: entries that Salesforce holds as wanted now."""

    confirmed: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[RowFailure] = field(default_factory=list)


class PaymentTarget:
    def __init__(
        self, client: SalesforceClient, number_field: str, *, with_currency: bool, dry: bool
    ) -> None:
        """`dry`: compares and counts only."""
        self._client = client
        self.key_fields = {ACCOUNT: number_field, INVOICE: INVOICE_KEY}
        currency = (CURRENCY,) if with_currency else ()
        self.columns = {
            ACCOUNT: ("Id", number_field, *ACCOUNT_AMOUNTS, LAST_PAYMENT, *currency),
            INVOICE: ("Id", INVOICE_KEY, OPEN, STATUS),
        }
        self._dry = dry

    async def write(self, wanted: Sequence[WantedRow]) -> Written:
        """Raises trouble of the system, whatever was written before: the same again changes nothing."""
        return await self.write_over(wanted, await self._current(wanted))

    async def write_over(
        self, wanted: Sequence[WantedRow], current: Mapping[tuple[str, str], Record]
    ) -> Written:
        """`current`: (object, key casefolded) → the row in Salesforce."""
        done = Written()
        changes: dict[str, dict[str, _Change]] = {ACCOUNT: {}, INVOICE: {}}
        for each in wanted:
            row = current.get((each.object, each.key.casefold()))
            if row is None:
                done.counts[f"skipped:no-{each.object.removesuffix('__c').lower()}"] += 1
            elif changed := differences(each.values, row):
                key = to_18(row["Id"])
                # Customers that share an account have the same amounts for it: one row for all of them.
                change = changes[each.object].setdefault(key, _Change({"Id": key, **changed}))
                change.entries.append(each.entry)
            else:
                done.counts["already-equal"] += 1
                done.confirmed.add(each.entry)
        for name, updates in changes.items():
            if self._dry:
                done.counts["would-change"] += len(updates)
            elif updates:
                await self._update(name, list(updates.values()), done)
        return done

    async def _update(self, name: str, updates: list[_Change], done: Written) -> None:
        results = await self._client.update_many(name, [each.record for each in updates])
        for each, result in zip(updates, results, strict=True):
            record = each.record
            fields = [field for field in record if field != "Id"]
            if result.error is None:
                done.counts["changed"] += 1
                done.confirmed.update(each.entries)
                audit(PAYMENTS, f"update {name}", record["Id"], fields)
            elif isinstance(result.error, RecordError):
                done.counts["failed"] += 1
                done.failures.append(RowFailure.of(f"{name} {record['Id']}", result.error))
                log_event(
                    "payment status refused",
                    level=logging.WARNING,
                    object=name,
                    id=record["Id"],
                    reason=result.error.reason,
                )
            else:
                raise result.error

    async def _current(self, wanted: Sequence[WantedRow]) -> dict[tuple[str, str], Record]:
        queries = [
            (name, select(name, self.columns[name], where=in_list(self.key_fields[name], keys)))
            for name in (ACCOUNT, INVOICE)
            for keys in _parts(each.key for each in wanted if each.object == name)
        ]
        found: dict[tuple[str, str], Record] = {}
        for start in range(0, len(queries), QUERIES):
            part = queries[start : start + QUERIES]
            answers = await self._client.composite(
                [
                    SubRequest("GET", self._client.paths.query(soql), f"q{number}")
                    for number, (_, soql) in enumerate(part)
                ]
            )
            for (name, _), answer in zip(part, answers, strict=True):
                if answer.error is not None:
                    raise answer.error
                for row in _records(answer.body):
                    found[name, str(row[self.key_fields[name]]).casefold()] = row
        return found


def _records(body: Any) -> list[Record]:
    """Keys are unique, so that one page holds all rows."""
    records = body.get("records") if isinstance(body, dict) else None
    if not isinstance(records, list) or not body.get("done", True):
        raise ContractError("a query by keys without all its rows", system="salesforce")
    return records


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    used = 0
    for key in dict.fromkeys(keys):
        length = len(quote(literal(key) + ",", safe=""))
        if part and (used + length > _QUERY_CHARACTERS or len(part) >= _QUERY_KEYS):
            yield part
            part, used = [], 0
        part.append(key)
        used += length
    if part:
        yield part
