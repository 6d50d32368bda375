"""Writes what a deletion, an undelete or a merge asks for, with the notes before and after it.

A note is written before F&O is, so that nothing is set there of which the app would not know that it set it;
what was begun and not ended is done again by the next attempt.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration.errors import RecordBusy
from integration.flows.gone.decisions import Lifting, Marking
from integration.flows.gone.merge_decisions import Aliasing, Joining

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from integration.flows.flow import Flow, Record, Write
    from integration.flows.gone.holders import HolderSet
    from integration.flows.outcomes import Moved, Skipped
    from integration.state.aliases import Aliases
    from integration.state.gone import GoneNotes
    from integration.state.holds import Holds

Answers = dict[str, "Record | Skipped | Moved | Exception"]


class GoneWriter:
    def __init__(
        self,
        live: Flow[object, object],
        holders: HolderSet,
        notes: GoneNotes,
        aliases: Aliases | None,
        holds: Holds | None,
        clock: Callable[[], datetime],
    ) -> None:
        self._live = live
        self._holders = holders
        self._notes = notes
        self._aliases = aliases
        self._holds = holds
        self._clock = clock

    async def write(self, changes: Mapping[str, Write], buckets: Mapping[str, str]) -> Answers:
        answers: Answers = {}
        for key, change in changes.items():
            if isinstance(change, Aliasing):
                assert self._aliases is not None
                for alias in change.aliases:
                    await self._aliases.save(alias)
                answers[key] = {}
        answers |= await self._set(changes, buckets)
        return answers | await self._lift(changes, buckets)

    async def _set(self, changes: Mapping[str, Write], buckets: Mapping[str, str]) -> Answers:
        """Marks, and holders that get the id of the record that survived: one call."""
        marks = {key: each for key, each in changes.items() if isinstance(each, Marking)}
        joins = {key: each for key, each in changes.items() if isinstance(each, Joining)}
        answers: Answers = {}
        if joins and self._holds is not None:
            # A running load may be creating what the surviving record lacks.
            survivors = {key: each.follow.key for key, each in joins.items()}
            held = await self._holds.held(self._live.name, set(survivors.values()))
            answers |= {key: held[each] for key, each in survivors.items() if each in held}
        answers |= _one_each({key: each for key, each in joins.items() if key not in answers})
        for key, marking in marks.items():
            await self._notes.save(self._holders.object, key, marking.mark)
        writes: dict[str, Write] = {**marks, **joins}
        ready = {key: each for key, each in writes.items() if key not in answers}
        if not ready:
            return answers
        for key, answer in (await self._holders.write(ready, buckets)).items():
            answers[key] = answer
            if isinstance(answer, Exception):
                continue
            if key in marks:
                mark = replace(marks[key].mark, phase="set")
                await self._notes.save(self._holders.object, key, mark)
            else:
                answers[key] = joins[key].follow
        return answers

    async def _lift(self, changes: Mapping[str, Write], buckets: Mapping[str, str]) -> Answers:
        lifts = {key: each for key, each in changes.items() if isinstance(each, Lifting)}
        for key, each in lifts.items():
            if each.mark is not None and each.lifts:
                at = self._clock().isoformat(timespec="seconds")
                mark = replace(each.mark, phase="lifting", at=at)
                await self._notes.save(self._holders.object, key, mark)
        answers: Answers = {key: {} for key in lifts}
        writes = {key: each for key, each in lifts.items() if each.values}
        if writes:
            answers |= await self._live.write(writes, buckets)
        for key, each in lifts.items():
            if isinstance(answers[key], Exception):
                continue
            if each.mark is not None:
                await self._notes.forget(self._holders.object, key)
            if self._aliases is not None:
                for number in each.aliases:
                    await self._aliases.drop(number)
        return answers


def _one_each(joins: Mapping[str, Joining]) -> Answers:
    """Of several records merged into the same one only the first gives it what it has: the others were
    judged when it had nothing yet."""
    answers: Answers = {}
    taken: set[str] = set()
    for key, each in joins.items():
        survivor = each.follow.key
        if survivor in taken:
            text = (
                f"another record merged into {survivor} is being joined with it; this one is next"
            )
            answers[key] = RecordBusy(text, reason="merge-under-way")
        taken.add(survivor)
    return answers
