"""Flow 4: released products and their prices, from F&O to Product2 and PricebookEntry.

A job, because whole tables are compared. It scans F&O, works out what Salesforce should hold today, and sends
the items whose fingerprint differs from the last confirmed push. A price whose dates begin or end, a changed
rule and a changed product all change the fingerprint. A full refresh sends every item, so that edits made in
Salesforce are healed; failures need no record of their own: an item that was not confirmed is sent again by
the next run.

    read (→ order → exports → names) → scan → decide
        few rows:  push → confirm → finish
        many rows: load ⇄ sort → second → load ⇄ sort → report → again → confirm → finish

A run that is cancelled keeps nothing of what it sent, as one that failed.

Each phase moves the position on; its part of the position is described with it (`flows.pricing`). A step
runs as many of them as its time allows.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from integration.errors import IntegrationError
from integration.flows.loads.routing import to_salesforce
from integration.flows.pricing.bulk import Bulk
from integration.flows.pricing.changes import KINDS, Shape
from integration.flows.pricing.confirm import Confirm
from integration.flows.pricing.position import first_position
from integration.flows.pricing.push import Push
from integration.flows.pricing.report import Report
from integration.flows.pricing.scan import Scan
from integration.flows.pricing.sorting import Sorting
from integration.jobs.job import Progress
from integration.jobs.kinds import PRICES
from integration.state.pushed import PushedTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.flows.price_rules import PriceRules
    from integration.flows.pricebook_writer import PriceTarget
    from integration.flows.pricing.bulk import Loads
    from integration.flows.pricing.source import PriceSource
    from integration.jobs.job import Position
    from integration.mapping.price_books import Prices
    from integration.settings import Switch, VolumeSettings
    from integration.state.pushed import ChunkStore

_LAST_FULL = "prices/last-full.json"
_DONE = "done"
_LAST = ("confirm", "finish", _DONE)
_CHUNK_ITEMS = 30_000  # whose fingerprints are in memory together, and that one range of F&O holds


class PriceJob:
    """Started with {} (a full refresh when one is due) or {"full": true}."""

    kind = PRICES
    longest = timedelta(hours=20)

    def __init__(
        self,
        state: ChunkStore,
        source: PriceSource,
        target: PriceTarget,
        loads: Loads,
        prices: Prices,
        rules: PriceRules,
        *,
        volume: VolumeSettings,
        switch: Switch = "on",
        rows: int = 2000,
        full_every: timedelta = timedelta(days=7),
        chunk_items: int = _CHUNK_ITEMS,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """About `rows` rows are compared and written at a time where they do not go by Bulk."""
        fingerprints = PushedTable(state, PRICES)
        self._source = source
        self._state = state
        self._prices = prices
        self._switch = switch
        self._volume = volume
        self._full_every = full_every
        self._clock = clock
        self._scan = Scan(
            state,
            fingerprints,
            source,
            target,
            prices,
            rules,
            dry=switch == "dry",
            part_items=chunk_items // 2,
        )
        self._push = Push(state, target, rows=rows, threshold=volume.bulk_threshold)
        self._bulk = Bulk(loads)
        self._sorting = Sorting(state, volume)
        self._confirm = Confirm(state, fingerprints, chunk_items)

    async def step(self, position: Position) -> Progress:
        if self._switch == "off":
            return Progress(position, {"switched-off": 1}, done=True)
        if "phase" not in position:
            position = await self._beginning(position)
        report, moved = Report(), False
        while position["phase"] != _DONE:
            kept = report.copy()
            try:
                position = await self._advance(position, report)
            except IntegrationError:
                if not moved:
                    raise
                report = kept  # what was done is saved first; the next step meets the trouble again
                break
            moved = True
            if report.ends_step or not report.has_time():
                break
        return Progress(
            position,
            +report.counts,
            delay=report.delay,
            done=position["phase"] == _DONE,
            failures=tuple(report.failures),
        )

    async def cancel(self, position: Position) -> Progress:
        """A Bulk load at work is aborted, and nothing more is sent. What was sent and not confirmed is
        sent again by the next run; a run that only confirms comes to its end."""
        if "phase" not in position:
            return Progress(position, done=True)
        if position["phase"] in _LAST:
            return Progress(position)
        if position["load"]:
            await self._bulk.abort(position["load"])
        await self._clear()
        return Progress(position | {"phase": _DONE}, done=True)

    async def _advance(self, position: Position, report: Report) -> Position:
        today = date.fromisoformat(position["today"])
        match position["phase"]:
            case "read":
                if self._switch == "dry":
                    return position | {"phase": "scan"}
                return await self._source.decide(position, report)
            case "order":
                return await self._source.order(position, report)
            case "exports":
                return await self._source.exports(position, report)
            case "names":
                return await self._source.names(position, report)
            case "scan":
                return await self._scan.advance(position, report, today)
            case "decide":
                return await self._decide(position)
            case "sort":
                return await self._sorting.sort(position, report)
            case "report":
                return await self._sorting.report(position, report)
            case "broken":
                raise self._bulk.broken(position)
            case "confirm":
                return await self._confirm.advance(position, report)
            case "finish":
                return await self._finish(position)
        org = await self._scan.org(position["run"])
        shape = Shape(self._scan.mapper(today).columns, org.currencies)
        match position["phase"]:
            case "push":
                return await self._push.everything(position, report, shape)
            case "load":
                return await self._bulk.advance(position, report, shape)
            case "second":
                return await self._sorting.second_round(position, report, org)
            case _:
                return await self._push.again(position, report, shape)

    async def _beginning(self, params: Position) -> Position:
        """One day counts for the whole job, also beyond midnight."""
        now = self._clock()
        await self._clear()  # what a run that failed has left
        return first_position(
            f"{PRICES}/{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
            full=params.get("full") is True or await self._full_refresh_is_due(now),
            today=self._prices.today(now),
            started_at=now,
        )

    async def _full_refresh_is_due(self, now: datetime) -> bool:
        document = await self._state.read(_LAST_FULL)
        if document is None:
            return True
        last = datetime.fromisoformat(json.loads(document.body)["started_at"])
        # A schedule does not fire to the second; a quarter of an hour early is still in time.
        return now - last >= self._full_every - timedelta(minutes=15)

    async def _decide(self, position: Position) -> Position:
        if self._switch == "dry":
            return position | {"phase": _DONE}
        rows = sum(position["rows"].values())
        if not rows:
            return position | {"phase": "confirm"}
        for kind in KINDS:  # parts of a step that did not come to its end
            prefix = f"spool/{position['run']}/{kind}/"
            for name in [name async for name in self._state.names(prefix)]:
                if int(name.removeprefix(prefix)) >= position["part"]:
                    await self._state.delete(name)
        route = to_salesforce(rows, self._volume)
        return position | {"phase": "push" if route == "collections" else "load"}

    async def _finish(self, position: Position) -> Position:
        await self._source.finished(position)
        if position["full"]:
            marker = {"started_at": position["started_at"]}
            await self._state.write(_LAST_FULL, json.dumps(marker).encode())
        await self._clear()
        return position | {"phase": _DONE}

    async def _clear(self) -> None:
        """Removes the rows of all runs; one job of a kind runs at a time."""
        if self._switch != "dry":
            for name in [name async for name in self._state.names(f"spool/{PRICES}/")]:
                await self._state.delete(name)
