"""A load as a job: phase after phase, each in short steps.

    collect, forget   dirty keys from their notes into the run's spool     (a run for the timer)
    ask               the ids of the records                               (changed since a time; contacts)
    hold              publish the keys, wait until every earlier batch is over
    target, export, source   whole tables: index the target, compare the source   (or)
    look              the flow judges the keys itself
    decide            package, or hints where there is little to send
    send, refusals, give   one package after another
    numbers, missing, moved, write_back, unwritten
    letters, hints, release

`cancel` leads from any phase to the last ones (see `cancelling`).

Started with {} for all records, {"since": time}, {"company": id} or {"dirty": true}; {"dry": true} beside it
only counts: would-create, would-update, would-write-back. Counts: read, unchanged, created, changed,
written-back, failed, hinted, packages, skipped:<reason>; of a cancelled one not-sent, noted-again.
"""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING

from integration.errors import (
    DeadlineReached,
    IntegrationError,
    OutcomeUnknown,
    RecordBusy,
    SystemTrouble,
)
from integration.flows.loads import cancelling, ending, keys, looking, numbers, sending, whole
from integration.flows.loads.parts import progress, to
from integration.state.blobs import StateConflict
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import timedelta

    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

    Phase = Callable[[Parts, Position], Awaitable[Progress]]

_WAITED_OUT = (SystemTrouble, OutcomeUnknown, RecordBusy, DeadlineReached, StateConflict)
_ENDING = ("give", "note-again", "letters", "hints", "release")


class LoadJob:
    def __init__(self, parts: Parts) -> None:
        self.kind = parts.definition.kind
        self.longest: timedelta = keys.longest(parts)
        self._parts = parts
        self._phases: dict[str, Phase] = {
            "collect": keys.collect,
            "forget": keys.forget,
            "ask": keys.ask,
            "hold": keys.hold,
            "target": whole.target,
            "export": whole.export,
            "source": whole.Source().step,
            "look": looking.look,
            "decide": sending.decide,
            "give": sending.give,
            "send": sending.send,
            "refusals": sending.refusals,
            "numbers": numbers.numbers,
            "missing": numbers.missing,
            "moved": numbers.moved,
            "write_back": numbers.write_back,
            "unwritten": numbers.unwritten,
            "note-again": cancelling.note_again,
            "letters": ending.letters,
            "hints": ending.hints,
            "release": ending.release,
        }

    async def step(self, position: Position) -> Progress:
        if "phase" not in position:
            return await keys.begin(self._parts, position)
        phase = position["phase"]
        try:
            return await self._phases[phase](self._parts, copy.deepcopy(position))
        except _WAITED_OUT:
            raise
        except Exception as error:
            if phase in _ENDING:
                raise
            return self._break_off(position, error)

    async def cancel(self, position: Position) -> Progress:
        if "phase" not in position:
            return progress(position, done=True)
        try:
            return await cancelling.cancel(self._parts, copy.deepcopy(position))
        except _WAITED_OUT:
            raise
        except Exception as error:
            return self._break_off(position, error)

    def _break_off(self, position: Position, error: Exception) -> Progress:
        log_event("load broken off", level=logging.ERROR, error=error, kind=self.kind)
        return progress(_broken_off(position, error))


def _broken_off(position: Position, error: Exception) -> Position:
    """The hold must not outlive the load, and no row may be forgotten: all that were to be sent and are
    not known to have arrived get a hint."""
    trouble = {
        "reason": "unexpected",
        "description": f"unexpected {type(error).__name__} in phase {position['phase']}",
    }
    if isinstance(error, IntegrationError):
        trouble = {"reason": error.reason, "description": error.description}
    states = [group.get("state") for group in position["groups"]]
    open_ = [number for number, state in enumerate(states) if state != "left"]
    late = position.get("late", False) or "begun" in states
    return to(position, "give", give=open_, then="letters", trouble=trouble, late=late)
