"""One load of rows into Salesforce by Bulk API 2.0, as short steps inside a job's step.

    load = BulkLoad(client, state, settings.volume)
    position = load.begin("prices/2026…/rows", object="PricebookEntry", columns=[…], …)
    advance = await load.advance(position)     # again and again, until `result` is given

The caller saves the position after every advance and before the next: a Salesforce job must be known
before it is let go, or a crash could run an insert twice.

A file is one upload that cannot be resumed, so the rows are cut into files of `bulk_file_bytes`, each a
Salesforce job of its own. They run one after another: side by side they would lock each other's parents
(Salesforce contract 3.5). The first that does not end as JobComplete ends the load, and rows that were
not reached come back among the failures.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.errors import DeadlineReached, RecordRejected, Unreachable
from integration.salesforce.bulk import ABORTED, COMPLETE, OPEN, OVER, BulkApi, poll_wait
from integration.salesforce.bulk_file import BulkFile
from integration.salesforce.bulk_position import (
    LoadResult,
    Position,
    after_job,
    first_position,
    left_out,
    result_of,
)
from integration.salesforce.bulk_results import ResultReader, is_late
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from integration.salesforce.bulk import Operation
    from integration.salesforce.client import SalesforceClient
    from integration.settings.volume import VolumeSettings
    from integration.state.spool import PartStore

__all__ = ["BulkLoad", "LoadAdvance", "LoadResult", "Position"]

ABORT_GRACE = 900  # seconds that an aborted job may take until its state says so
_AT_WORK = ("upload", "discard", "poll")  # phases in which Salesforce has a job
UPLOADS = 3  # of one file that Salesforce refuses, each into a job of its own


@dataclass(frozen=True, slots=True)
class LoadAdvance:
    """`delay` in seconds before the next advance; a `result` is the end."""

    position: Position
    delay: float = 0
    result: LoadResult | None = None


class BulkLoad:
    """Raises as `BulkApi` and `Spool`. `clock` in unix seconds."""

    def __init__(
        self,
        client: SalesforceClient,
        state: PartStore,
        settings: VolumeSettings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._api = BulkApi(client)
        self._state = state
        self._settings = settings
        self._clock = clock
        self._results = ResultReader(self._api, state)
        self._phases = {
            "create": self._create,
            "upload": self._upload,
            "discard": self._discard,
            "poll": self._poll,
            "collect": self._collect,
            "give-back": self._give_back,
        }

    def begin(
        self,
        rows: str,
        *,
        object: str,
        columns: Sequence[str],
        operation: Operation,
        external_id: str | None = None,
        key: str,
        name: str,
        count_created: bool = False,
    ) -> Position:
        """The first position. `rows` is the spool whose parts `bulk_csv.encode_rows` made, with the cells in
        the order of `columns`; `key` is the column that names a row in failures; `name` begins the name of
        the spool of failures and must be this load's own. `count_created` reads the successful rows of an
        upsert too. Raises ValueError for a load that Salesforce would refuse as a whole."""
        return first_position(
            rows,
            object_name=object,
            columns=columns,
            operation=operation,
            external_id=external_id,
            key=key,
            name=name,
            count_created=count_created,
            limit=self._settings.bulk_file_bytes,
        )

    async def advance(self, position: Position) -> LoadAdvance:
        """One piece of work: a few calls, one upload, or one result file. The same position may be
        advanced again after a crash."""
        if (
            position.get("cancel")
            and not position.get("aborting")
            and position["phase"] in _AT_WORK
        ):
            return await self._cancelled(position)
        return await self._phases[position["phase"]](position)

    def cancel(self, position: Position) -> Position:
        """Ends it early: the Salesforce job at work is aborted, what it has not written comes back as
        UNPROCESSED, and no other is begun."""
        return position | {"cancel": True}

    async def abort(self, position: Position) -> None:
        """Has Salesforce stop the job at work, if there is one, for a caller that asks for no results."""
        if position["phase"] in _AT_WORK:
            with suppress(RecordRejected):  # it is over
                await self._api.abort(position["job"])

    async def _create(self, position: Position) -> LoadAdvance:
        if await self._file(position).is_empty():
            return LoadAdvance(position, result=result_of(position))
        if position.get("cancel"):
            return LoadAdvance(left_out(position))
        job = await self._api.create_ingest(
            position["object"], position["operation"], position["external_id"]
        )
        until = int(self._clock() + self._settings.bulk_longest.total_seconds())
        return LoadAdvance(position | {"phase": "upload", "job": job, "until": until})

    async def _upload(self, position: Position) -> LoadAdvance:
        job, file = position["job"], self._file(position)
        if (await self._api.info(job)).state != OPEN:  # a step that ran before this one closed it
            return await self._running(position)
        try:
            await self._api.upload(job, file.stream)
            await self._api.close_ingest(job)
        except RecordRejected:
            # Also where an earlier upload arrived and its answer did not: one job takes one file.
            if (await self._api.info(job)).state != OPEN:
                return await self._running(position)
            if position["refused"] + 1 >= UPLOADS:
                raise
            return LoadAdvance(position | {"phase": "discard", "refused": position["refused"] + 1})
        except (Unreachable, DeadlineReached):
            if file.parts < 2 or not is_late():
                raise
            # The line is too slow for such a file within one step.
            smaller = {"phase": "discard", "smaller": file.size // 2}
            return LoadAdvance(position | smaller)
        return self._uploaded(position, file.end)

    async def _discard(self, position: Position) -> LoadAdvance:
        """Aborts a job that may or may not have its file, in favour of a new one."""
        try:
            await self._api.abort(position["job"])
        except RecordRejected:
            state = (await self._api.info(position["job"])).state
            if state == OPEN:
                raise
            if state != ABORTED:
                return await self._running(position)
        limit = position.get("smaller") or position["limit"]
        return LoadAdvance(position | {"phase": "create", "limit": limit, "smaller": 0})

    async def _running(self, position: Position) -> LoadAdvance:
        return self._uploaded(position, await self._file(position).measure())

    def _uploaded(self, position: Position, end: int) -> LoadAdvance:
        polling = {"phase": "poll", "end": end, "refused": 0, "polls": 1, "aborting": False}
        return LoadAdvance(position | polling, delay=self._wait(0))

    async def _poll(self, position: Position) -> LoadAdvance:
        info = await self._api.info(position["job"])
        if info.state in OVER:
            return LoadAdvance(after_job(position, info))
        now, polls = self._clock(), position["polls"]
        if now >= position["until"] and not position["aborting"]:
            with suppress(RecordRejected):  # it ended just now; the next look tells
                await self._api.abort(position["job"])
            return LoadAdvance(position | {"aborting": True, "polls": 1}, delay=self._wait(0))
        if now >= position["until"] + ABORT_GRACE:
            return LoadAdvance(after_job(position, info))
        return LoadAdvance(position | {"polls": polls + 1}, delay=self._wait(polls))

    async def _cancelled(self, position: Position) -> LoadAdvance:
        await self.abort(position)
        end = position.get("end") if position["phase"] == "poll" else None
        polled = self._uploaded(
            position, await self._file(position).measure() if end is None else end
        )
        ending = {"aborting": True, "until": int(self._clock())}
        return LoadAdvance(polled.position | ending, delay=polled.delay)

    async def _collect(self, position: Position) -> LoadAdvance:
        if position["wanted"]:
            return LoadAdvance(await self._results.collect(position))
        phase = "create" if position["state"] == COMPLETE else "give-back"
        return LoadAdvance(position | {"phase": phase})

    async def _give_back(self, position: Position) -> LoadAdvance:
        position, is_all = await self._results.give_back(position)
        return LoadAdvance(position, result=result_of(position) if is_all else None)

    def _file(self, position: Position) -> BulkFile:
        spool = Spool(self._state, position["rows"])
        return BulkFile(spool, position["columns"], position["first"], position["limit"])

    def _wait(self, polls: int) -> float:
        return poll_wait(self._settings.bulk_poll, polls)
