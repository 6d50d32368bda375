"""Where the catch-up stands, and the records of a time for which change events are lost.

Source: Salesforce contracts 5.1 and 6.4. Deleted records are read too. Few are paged by (SystemModstamp,
Id), many come by a Bulk query. Each gap that was read is kept in `catch-up/gaps.json`:
{"object","since","until","reason","found","healed_at"}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from integration.flows.reading import count_records
from integration.flows.reconcile_keys import CHANGED, SalesforceKeys, Window
from integration.salesforce.bulk_query import BulkQuery
from integration.salesforce.ids import to_18
from integration.salesforce.soql import condition, select
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.salesforce.client import SalesforceClient
    from integration.settings import Settings
    from integration.state.blobs import Document

GAPS = "catch-up/gaps.json"
_KEPT = 100


class Reader(Protocol):
    async def read(self, name: str) -> Document | None: ...


class Documents(Reader, Protocol):
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class GapPage:
    """`records` as (id, root or None); `after` is None behind the last page; `delay` before the next one."""

    records: list[tuple[str, str | None]]
    after: dict[str, Any] | None
    delay: float = 0


def new_gap(name: str, since: str, until: str, reason: str) -> dict[str, Any]:
    """`name` of the object; times in ISO 8601."""
    return {
        "object": name,
        "since": since,
        "until": until,
        "reason": reason,
        "after": None,
        "found": 0,
    }


class Positions:
    """Where each channel was left: `catch-up/<channel>.json`, {"position": hexadecimal or null, "at"}."""

    def __init__(self, state: Documents) -> None:
        self._state = state

    async def read(self, topic: str) -> dict[str, Any]:
        document = await self._state.read(_name(topic))
        found: dict[str, Any] = json.loads(document.body) if document else {}
        return found

    async def write(self, topic: str, position: str | None, now: datetime) -> dict[str, Any]:
        stored = {"position": position, "at": now.isoformat()}
        await self._state.write(_name(topic), json.dumps(stored).encode())
        return stored


class Gaps:
    def __init__(
        self,
        state: Documents,
        salesforce: SalesforceClient,
        roots: Mapping[str, str],
        settings: Settings,
    ) -> None:
        """`roots`: object → the field with its business key."""
        self._state = state
        self._salesforce = salesforce
        self._roots = roots
        self._page = settings.catch_up.page
        self._many = settings.volume.bulk_threshold
        self._bulk = BulkQuery(salesforce, settings.volume)

    async def page(self, gap: Mapping[str, Any]) -> GapPage:
        """The next records of a gap as `new_gap` made it, with the `after` of the page before."""
        after = gap["after"]
        if after is None and await self._count(gap) > self._many:
            after = {"bulk": self._bulk.begin(self._query(gap), all_rows=True)}
        if after is not None and "bulk" in after:
            return await self._bulk_page(gap, after["bulk"])
        name = gap["object"]
        keys = SalesforceKeys(
            self._salesforce, name, name, root=self._roots[name], include_deleted=True
        )
        page = await keys.page(Window(*_times(gap)), after, self._page)
        return GapPage([(ref.key, ref.root) for ref in page.refs], page.after)

    async def remember(self, gap: Mapping[str, Any], now: datetime) -> None:
        document = await self._state.read(GAPS)
        known = json.loads(document.body) if document else []
        told = {name: gap[name] for name in ("object", "since", "until", "reason", "found")}
        entry = {**told, "healed_at": now.isoformat()}
        await self._state.write(GAPS, json.dumps([*known, entry][-_KEPT:]).encode())
        log_event("gap of change events was read", **told)

    async def _count(self, gap: Mapping[str, Any]) -> int:
        return await count_records(self._salesforce, gap["object"], " AND ".join(_where(gap)))

    def _query(self, gap: Mapping[str, Any]) -> str:
        columns = tuple(dict.fromkeys(("Id", self._roots[gap["object"]])))
        return select(gap["object"], columns, where=_where(gap))

    async def _bulk_page(self, gap: Mapping[str, Any], position: dict[str, Any]) -> GapPage:
        root = self._roots[gap["object"]]
        advance = await self._bulk.advance(position)
        records = [
            (to_18(str(row["Id"])), to_18(found) if (found := row.get(root)) else None)
            for row in advance.rows or ()
        ]
        after = None if advance.done else {"bulk": advance.position}
        return GapPage(records, after, advance.delay)


async def healed_gaps(state: Reader, *, since: str) -> list[dict[str, Any]]:
    """Those that were read after a time in ISO 8601, in UTC."""
    document = await state.read(GAPS)
    known = json.loads(document.body) if document else []
    return [gap for gap in known if gap["healed_at"] > since]


def _name(topic: str) -> str:
    return f"catch-up/{topic.strip('/').replace('/', '-')}.json"


def _times(gap: Mapping[str, Any]) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(gap["since"]), datetime.fromisoformat(gap["until"])


def _where(gap: Mapping[str, Any]) -> list[str]:
    since, until = _times(gap)
    return [condition(CHANGED, ">=", since), condition(CHANGED, "<=", until)]
