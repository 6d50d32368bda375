"""The end of a load: dead letters for what was refused, hints for what is open, and then the hold is over."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.flows.loads.findings import FAILED, HINTS
from integration.flows.loads.keys import owner
from integration.flows.loads.lines import chunks, text_lines
from integration.flows.loads.parts import progress, to
from integration.recovery.decisions import EndState

if TYPE_CHECKING:
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

_LETTERS = 20  # sent one by one
_HINTS = 500


async def letters(parts: Parts, position: Position) -> Progress:
    """A record that was refused ends as its flow says, with the hint that a person may replay."""
    flow = parts.definition.flow
    async for lines in chunks(parts.spool(position, FAILED), position, _LETTERS, text_lines):
        for line in lines:
            key, reason, description, system = json.loads(line)
            end = EndState(flow.policy.rejected, reason, description, system)
            await parts.endings.keep(flow, parts.hint(position, key), end)
    return progress(position if position["at"] else to(position, "hints"))


async def hints(parts: Parts, position: Position) -> Progress:
    count = 0
    async for keys in chunks(parts.spool(position, HINTS), position, _HINTS, text_lines):
        distinct = list(dict.fromkeys(keys))
        await parts.outbox.send_hints([parts.hint(position, key) for key in distinct])
        count += len(distinct)
    following = position if position["at"] else to(position, "release")
    return progress(following, counts={"hinted": count} if count else {})


async def release(parts: Parts, position: Position) -> Progress:
    """Last of all: hints that waited for the hold come back by themselves.

    After an import that may still be running the hold stays for as long as a create may. Raises
    RecordRejected with the reason of a load that did not do all it should: the job has failed then.
    """
    if position.get("late"):
        until = parts.clock() + parts.settings.app.create_quarantine
        await parts.holds.extend(owner(parts, position), until)
    else:
        await parts.holds.release(owner(parts, position))
    names = [name async for name in parts.store.names(f"spool/{position['folder']}")]
    for name in names:
        await parts.store.delete(name)
    if trouble := position.get("trouble"):
        raise RecordRejected(trouble["description"], reason=trouble["reason"], system="d365")
    return progress(position, done=True)
