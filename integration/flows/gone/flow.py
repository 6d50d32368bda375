"""A flow that also knows what to do when its records are deleted, undeleted or merged.

It wraps the flow of the live records: those pass through unchanged, and one that is gone is handled by the
same steps with what hangs on it in F&O. So hints for deletes from change events, the webhook and a gap that
was read all take one path, and handling one twice changes nothing.

A merged record is handled in the bucket of the one that survived, which gets a hint of its own in any case.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from integration.errors import IntegrationError
from integration.flows.flow import Flow
from integration.flows.gone.decisions import (
    Lifting,
    Marking,
    Standing,
    decide_deleted,
    decide_live,
    is_report,
    review_of_deleted,
)
from integration.flows.gone.merge_decisions import (
    Aliasing,
    Joining,
    decide_merged,
    review_of_merged,
)
from integration.flows.gone.reading import GONE, Departed, read_departed
from integration.flows.gone.standings import Seen, Standings
from integration.flows.gone.writing import GoneWriter
from integration.flows.outcomes import Moved, Skipped
from integration.flows.sources import DELETED, available_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from integration.errors import RecordNeedsReview
    from integration.flows.context import FlowContext
    from integration.flows.flow import Record, Write
    from integration.flows.gone.holders import HolderSet
    from integration.recovery.decisions import EndState
    from integration.state.aliases import Aliases
    from integration.state.gone import GoneNotes

_DEPARTED = "departed"


class LiveFlow(Flow[Any, Any], Protocol):
    """What can be wrapped."""

    async def read_live(self, keys: list[str]) -> Mapping[str, Record | Skipped]:
        """As `read`, without those that Salesforce does not show any more."""


class GoneFlow(Flow[Any, Any]):
    def __init__(
        self,
        live: LiveFlow,
        holders: HolderSet,
        context: FlowContext,
        notes: GoneNotes,
        aliases: Aliases | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`aliases` where the numbers of holders are referred to by other records."""
        self.live = live
        self.name, self.policy, self.systems = live.name, live.policy, live.systems
        self._holders = holders
        self._salesforce = context.salesforce
        self._notes = notes
        self._clock = clock
        self._standings = Standings(holders, notes, aliases)
        self._writer = GoneWriter(live, holders, notes, aliases, context.holds, clock)
        self._telling: dict[str, str] = {}

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        """One call; one more for those that are gone, and another where some were merged."""
        found: dict[str, Record | Skipped | Moved | Exception] = {}
        found.update(await self.live.read_live(keys))
        missing = [key for key in keys if key not in found]
        if not missing:
            return found
        try:
            available = await available_fields(self._salesforce, self._holders.object)
            departed = await read_departed(
                self._salesforce, self._holders.object, missing, self._holders.fields(available)
            )
        except IntegrationError as error:  # those that were read go on
            return {**found, **dict.fromkeys(missing, error)}
        for key, each in departed.items():
            if each.master is None and self._holders.policy == "ignore":
                found[key] = Skipped(DELETED)
            elif not (each.master or each.record).get(self._holders.root_field):
                found[key] = Skipped("no-account")
            else:
                found[key] = {"Id": key, GONE: True, _DEPARTED: each}
        return found

    def root_of(self, record: Record) -> str:
        gone = _departed(record)
        if gone is None:
            return self.live.root_of(record)
        return str((gone.master or gone.record)[self._holders.root_field])

    def wanted(self, record: Record) -> Any:
        return _departed(record) or self.live.wanted(record)

    async def find(self, wanted: Mapping[str, Any]) -> Mapping[str, Any]:
        gone = {key: each for key, each in wanted.items() if isinstance(each, Departed)}
        there = {key: each for key, each in wanted.items() if key not in gone}
        answers: dict[str, Any] = {}
        if there:
            found = await self.live.find(there)
            answers |= await self._standings.seen(found)
        if gone:
            answers |= await self._standings.of(gone)
        return answers

    def compare(self, wanted: Any, current: Any) -> Write | Skipped | Moved | None:
        if isinstance(wanted, Departed):
            standing = current or Standing(())
            self._telling[wanted.key] = wanted.stamp  # forgotten below where nothing is to be told
            now = self._clock()
            change: Write | Skipped | Moved | None
            if wanted.master is None:
                change = decide_deleted(wanted, standing, self._holders, now=now)
            else:
                follow = self._follow(wanted)
                change = decide_merged(wanted, standing, self._holders, follow, now=now)
            if isinstance(change, Skipped | Moved):
                del self._telling[wanted.key]
            return change
        if not isinstance(current, Seen):
            return self.live.compare(wanted, current)
        change = self.live.compare(wanted, current.current)
        if isinstance(change, Skipped | Moved):
            return change
        lifting = decide_live(change, current.holder, current.mark, now=self._clock())
        return replace(lifting, aliases=current.aliases)

    def _follow(self, gone: Departed) -> Moved:
        assert gone.master is not None
        return Moved(str(gone.master[self._holders.root_field]), str(gone.master["Id"]))

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Skipped | Moved | Exception]:
        own = {
            key: each
            for key, each in changes.items()
            if isinstance(each, Marking | Lifting | Joining | Aliasing)
        }
        answers: dict[str, Record | Skipped | Moved | Exception] = {}
        others = {key: each for key, each in changes.items() if key not in own}
        if others:
            answers |= await self.live.write(others, buckets)
        return answers | (await self._writer.write(own, buckets) if own else {})

    def back(self, record: Record, written: Record | None, current: Any) -> Record:
        if _departed(record):
            return {}
        return self.live.back(record, written, _unwrapped(current))

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        return await self.live.write_back(fields)

    def unresolved(
        self, record: Record, written: Record | None, current: Any
    ) -> RecordNeedsReview | None:
        gone = _departed(record)
        if gone is None:
            return self.live.unresolved(record, written, _unwrapped(current))
        if gone.master is None:
            problem = review_of_deleted(gone, current, self._holders)
        else:
            problem = review_of_merged(gone, current, self._holders, self._follow(gone))
        if problem is None:
            self._telling.pop(gone.key, None)
        return problem

    async def ended(self, key: str, end: EndState) -> None:
        await self.live.ended(key, end)

    async def kept(self, key: str, end: EndState) -> None:
        stamp = self._telling.pop(key, None)
        if stamp and end.kind == "review" and is_report(end.reason):
            await self._notes.tell(self._holders.object, key, stamp)
        else:
            await self.live.kept(key, end)


def is_departed(record: Record) -> bool:
    """Whether the record, as read by a `GoneFlow`, was deleted or merged."""
    return _departed(record) is not None


def _departed(record: Record) -> Departed | None:
    gone = record.get(_DEPARTED)
    return gone if isinstance(gone, Departed) else None


def _unwrapped(current: Any) -> Any:
    return current.current if isinstance(current, Seen) else current
