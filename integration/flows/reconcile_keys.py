"""Where reconciliation finds the records to compare: which keys, and how a source knows what changed.

Salesforce tells when a row changed (SystemModstamp); rows are paged by (SystemModstamp, Id) with an
overlap, because rows below a saved time do appear later. F&O's entities hold no time of a change: invoices
are taken by their date, customers in turn, so many per run. A key that a source does not name is no sign
that the record was deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from integration.d365.filters import Filter, eq, ge, gt
from integration.d365.literals import COMPANY
from integration.errors import ContractError
from integration.salesforce.soql import condition, select

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.d365.client import D365Client
    from integration.flows.flow import Record
    from integration.messaging.hints import Source
    from integration.salesforce.client import SalesforceClient

Cursor = dict[str, str]
CHANGED = "SystemModstamp"


@dataclass(frozen=True, slots=True)
class Ref:
    """A record of one flow, with what a hint for it must say."""

    flow: str
    source: Source
    object: str
    key: str
    root: str | None = None
    company: str | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """Records changed from `since` (None: all) to `until`."""

    since: datetime | None
    until: datetime


@dataclass(frozen=True, slots=True)
class KeyPage:
    """`rows` is how many were read; `after` is None behind the last page."""

    refs: list[Ref]
    rows: int
    after: Cursor | None


class KeySource(Protocol):
    """`flows` are those it names records of; a `rolling` one goes on where the last run stopped."""

    name: str
    flows: tuple[str, ...]
    how: str
    rolling: bool

    async def page(self, window: Window, after: Cursor | None, size: int) -> KeyPage: ...


class SalesforceKeys:
    """The rows of one object that changed in the window."""

    rolling = False

    def __init__(
        self,
        client: SalesforceClient,
        flow: str,
        object_name: str,
        *,
        root: str = "Id",
        where: str = "",
        include_deleted: bool = False,
    ) -> None:
        """`root` is the field with the business key that decides the bucket."""
        self.name = flow
        self.flows: tuple[str, ...] = (flow,)
        only = f" where {where}" if where else ""
        self.how = f"{object_name} rows by {CHANGED}{only}"
        self._client = client
        self._object = object_name
        self._root = root
        self._where = where
        self._include_deleted = include_deleted

    async def page(self, window: Window, after: Cursor | None, size: int) -> KeyPage:
        parts = [self._where, condition(CHANGED, "<=", window.until)]
        if after:
            at = datetime.fromisoformat(after["at"])
            later = condition(CHANGED, ">", at)
            same = f"{condition(CHANGED, '=', at)} AND {condition('Id', '>', after['id'])}"
            parts.append(f"{later} OR ({same})")
        elif window.since:
            parts.append(condition(CHANGED, ">=", window.since))
        query = select(
            self._object, tuple(dict.fromkeys(("Id", CHANGED, self._root))), where=parts,
            order_by=(CHANGED, "Id"), limit=size,
        )  # fmt: skip
        rows = await self._client.query_all_rows(query, include_deleted=self._include_deleted)
        refs = [self._ref(row) for row in rows]
        if len(rows) < size:
            return KeyPage(refs, len(rows), None)
        return KeyPage(refs, len(rows), {"at": rows[-1][CHANGED], "id": rows[-1]["Id"]})

    def _ref(self, row: Record) -> Ref:
        root = row.get(self._root) or row["Id"]
        return Ref(self.flows[0], "salesforce", self._object, row["Id"], root)


class D365Keys:
    """The rows of one entity set in the order of (company, number); with `date_field` those of the window."""

    def __init__(
        self,
        client: D365Client,
        name: str,
        flows: tuple[str, ...],
        entity_set: str,
        number: str,
        refs: Callable[[Record], list[Ref]],
        *,
        columns: Sequence[str] = (),
        date_field: str | None = None,
        days: int = 0,
        rolling: bool = False,
    ) -> None:
        """`days` before the window count too: a document may carry an earlier date than its posting."""
        self.name = name
        self.flows = flows
        self.rolling = rolling
        self.how = f"{entity_set} rows " + (
            f"by {date_field}, from {days} days before the window"
            if date_field
            else "in turn, because F&O does not say when one changed"
        )
        self._client = client
        self._set = entity_set
        self._number = number
        self._refs = refs
        self._select = tuple(dict.fromkeys((COMPANY, number, *columns)))
        self._date = date_field
        self._days = timedelta(days=days)

    async def page(self, window: Window, after: Cursor | None, size: int) -> KeyPage:
        query = self._client.query(
            self._set,
            filter=self._filter(window, after),
            select=self._select,
            orderby=(COMPANY, self._number),
            top=size,
        )
        rows = [row async for row in query]
        unique = dict.fromkeys(ref for row in rows for ref in self._refs(row))
        more = len(rows) == size
        return KeyPage(list(unique), len(rows), self._cursor(rows) if more else None)

    def _filter(self, window: Window, after: Cursor | None) -> Filter | None:
        parts: list[Filter] = []
        if self._date and window.since:
            parts.append(ge(self._date, (window.since - self._days).date()))
        if after:
            company, number = after["company"], after["number"]
            parts.append(gt(COMPANY, company) | (eq(COMPANY, company) & gt(self._number, number)))
        whole: Filter | None = None
        for part in parts:
            whole = whole & part if whole else part
        return whole

    def _cursor(self, rows: list[Record]) -> Cursor:
        """The last row that a filter can name: F&O takes `*` for a wildcard (F&O contract 2.2)."""
        for row in reversed(rows):
            if "*" not in str(row[self._number]):
                return {"company": str(row[COMPANY]), "number": str(row[self._number])}
        raise ContractError(
            f"{self._set}: {len(rows)} rows in a row hold * in {self._number}; F&O cannot be asked for"
            " what follows (a higher RECONCILE_PAGE may reach beyond)",
            system="d365",
        )
