"""Sorts the rows that Bulk refused, and writes the second round. In pieces; memory holds hashes only.

Spools of a run: `again` (hashes of entry and item, and the form), `read` (hashes of items to compare),
`refused` (JSON lines [item, key, reason, description]) and `refused-items` (hashes).
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from integration.errors import IntegrationError
from integration.flows.loads.routing import to_salesforce
from integration.flows.pricing.bulk import FIRST_ROUND, SECOND, STAGES
from integration.flows.pricing.changes import CUSTOMS, STANDARDS, UNSEEN, EntryRows, rows_of
from integration.flows.pricing.hashes import HashSet, hash_of, hash_set, put_hashes, read_hashes
from integration.flows.pricing.item_fields import INACTIVE
from integration.flows.pricing.push import READ
from integration.flows.pricing.refusals import Refusal, judge, reason_of
from integration.jobs.kinds import PRICES
from integration.salesforce.bulk_csv import encode_rows
from integration.salesforce.bulk_failures import UNPROCESSED
from integration.state.spool import Spool
from integration.telemetry import log_event

if TYPE_CHECKING:
    from integration.flows.pricebook_changes import Org
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position
    from integration.settings import VolumeSettings
    from integration.state.spool import PartStore

AGAIN, REFUSED, REFUSED_ITEMS = "again", "refused", "refused-items"
_FLIP, _REPEAT = 1, 0
_LOGGED = 200  # refused rows of one part that are named in the log


class Sorting:
    def __init__(self, store: PartStore, volume: VolumeSettings) -> None:
        self._store = store
        self._volume = volume

    async def sort(self, position: Position, report: Report) -> Position:
        """The failures of the load that just ended. Position: `sort` [spool, part to go on with]."""
        name, start = position["sort"]
        spool, run = Spool(self._store, name), position["run"]
        refused = await hash_set(self._store, f"{run}/{REFUSED_ITEMS}")
        for part in await spool.parts():
            if part < start:
                continue
            lines = [json.loads(line) for line in (await spool.get(part)).splitlines()]
            sorted_ = _Sorted(STAGES[position["stage"]], refused, report)
            for line in lines:
                sorted_.add(line)
            await self._save(run, position["marks"], sorted_)
            position = position | {"marks": position["marks"] + 1, "sort": [name, part + 1]}
            if not report.has_time():
                return position
        return position | {"phase": "load", "sort": None, "stage": position["stage"] + 1}

    async def second_round(self, position: Position, report: Report, org: Org) -> Position:
        """Writes the rows that are sent once more, or gives them to the Collections path where they are few.
        Position: `second` is the part to go on with, and then true."""
        run = position["run"]
        entries = await read_hashes(self._store, f"{run}/{AGAIN}")
        keys, items, forms = entries[0::3], entries[1::3], entries[2::3]
        if to_salesforce(len(keys), self._volume) == "collections":
            await put_hashes(self._store, f"{run}/{READ}", position["marks"], items)
            done = {"phase": "report", "marks": position["marks"] + 1}
            return position | done
        pairs = list(zip(keys, forms, strict=True))
        flips = HashSet(key for key, form in pairs if form == _FLIP)
        repeats = HashSet(key for key, form in pairs if form == _REPEAT)
        rows = EntryRows(org)
        for part in range(position["second_part"], position["part"]):
            for kind in (STANDARDS, CUSTOMS):
                found = [
                    rows.other(tuple(row)) if row[0] in flips else tuple(row)
                    for row in await rows_of(self._store, run, kind, part)
                    if row[0] in repeats or (row[0] in flips and row[-2] != INACTIVE)
                ]
                stage = kind + SECOND
                if found:
                    await Spool(self._store, f"{run}/{stage}").put(part, encode_rows(found))
                    known = position["rows"]
                    total = known.get(stage, 0) + len(found)
                    position = position | {"rows": known | {stage: total}}
            position = position | {"second_part": part + 1}
            if not report.has_time():
                return position
        return position | {"phase": "load", "second": True}

    async def report(self, position: Position, report: Report) -> Position:
        """Tells of the rows that are refused for good. Those of items that are compared once more are left
        to that. Position: `told`, the part to go on with."""
        run = position["run"]
        read = await hash_set(self._store, f"{run}/{READ}")
        spool = Spool(self._store, f"{run}/{REFUSED}")
        for part in await spool.parts():
            if part < position["told"]:
                continue
            for line in (await spool.get(part)).splitlines():
                item, key, reason, description = json.loads(line)
                if item not in read:
                    report.failed(key, IntegrationError(description, reason=reason))
            position = position | {"told": part + 1}
            if not report.has_time():
                return position
        if position.get("broken"):
            return position | {"phase": "broken"}
        compares = len(read) or position["rows"].get(UNSEEN)
        return position | {"phase": "again" if compares else "confirm", "again": True}

    async def _save(self, run: str, part: int, found: _Sorted) -> None:
        await put_hashes(self._store, f"{run}/{AGAIN}", part, found.again)
        await put_hashes(self._store, f"{run}/{READ}", part, found.read)
        await put_hashes(self._store, f"{run}/{REFUSED_ITEMS}", part, found.refused_items)
        lines = "\n".join(json.dumps(line) for line in found.refused)
        await Spool(self._store, f"{run}/{REFUSED}").put(part, lines.encode())


class _Sorted:
    """The verdicts on the rows of one part."""

    def __init__(self, stage: str, refused: HashSet, report: Report) -> None:
        self._kind = stage.removesuffix(SECOND)
        self._first = STAGES.index(stage) < FIRST_ROUND
        self._known = refused
        self._counts = report.counts
        self.again: list[int] = []
        self.read: set[int] = set()
        self.refused: list[tuple[str, str, str, str]] = []
        self.refused_items: set[int] = set()

    def add(self, line: dict[str, Any]) -> None:
        if line["code"] == UNPROCESSED:  # the load did not come to its end, and the run says why
            self._counts["unprocessed"] += 1
            return
        refusal = Refusal.of(self._kind, line)
        match judge(self._kind, refusal, self._known, first=self._first):
            case "flip":
                self.again += (hash_of(refusal.key), hash_of(refusal.item), _FLIP)
            case "repeat":
                self.again += (hash_of(refusal.key), hash_of(refusal.item), _REPEAT)
            case "read":
                self.read.add(hash_of(refusal.item))
            case "follows":
                self._counts["skipped:product-refused"] += 1
            case "refuse":
                self._refuse(refusal)
            case "nothing":
                pass

    def _refuse(self, refusal: Refusal) -> None:
        error = reason_of(refusal)
        self.refused.append((refusal.item, refusal.key, error.reason, error.description))
        self.refused_items.add(hash_of(refusal.item))
        if len(self.refused) <= _LOGGED:
            log_event(
                "row refused",
                level=logging.WARNING,
                flow=PRICES,
                key=refusal.key,
                reason=error.reason,
                description=error.description,
            )
