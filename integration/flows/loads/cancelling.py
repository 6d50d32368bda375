"""The early end of a load that somebody cancelled: what was begun is brought to its end, the rest is left.

| Phase | Then |
|---|---|
| before the first package | the Bulk query is aborted; letters and hints for what was found so far |
| a package that F&O does not know yet | it is not sent |
| a package in F&O | no action stops it (F&O contract 6.1): its outcome is read, numbers are written back |
| the numbers go by Bulk | the Salesforce job is aborted, the numbers that are missing get a hint |

No further package is sent: a later load finds what differs. Only changes that were noted for this run would
be forgotten; they are noted again. The hold is released at the end, as always.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from integration.flows.loads.findings import FAILED, HINTS, KEYS, SENT
from integration.flows.loads.lines import all_lines, key_set
from integration.flows.loads.parts import progress, to

if TYPE_CHECKING:
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

_LAST = ("note-again", "letters", "hints", "release")
_SENDING = ("send", "refusals", "give")
_AFTER = ("numbers", "missing", "moved", "write_back", "unwritten")


async def cancel(parts: Parts, position: Position) -> Progress:
    """From here the phases lead to the end by themselves. May run again, as every step."""
    phase = position["phase"]
    if phase in _LAST or (phase == "give" and position["then"] == "letters"):
        return progress(position)
    await parts.findings(position)  # removes what an interrupted step has left
    position["cancelled"] = True
    if phase in _AFTER:
        return progress(_after_packages(parts, position))
    if phase in _SENDING and position.get("then") != "write_back":
        return _without_further_packages(parts, position)
    if query := position.get("query"):
        await parts.bulk_query.abort(query)
    if phase != "give":
        return progress(to(position, "note-again"), counts=_not_sent(position["groups"]))
    begun = position["give"][: int(position["at"] != [0, 0])]  # its rows have become hints in part
    left = [position["groups"][number] for number in position["give"][len(begun) :]]
    position.update(give=begun, then="note-again")
    return progress(position, counts=_not_sent(left))


def _after_packages(parts: Parts, position: Position) -> Position:
    if position["phase"] == "write_back" and position.get("bulk"):
        position["bulk"] = parts.bulk_load.cancel(position["bulk"])
    return position


def _without_further_packages(parts: Parts, position: Position) -> Progress:
    first = position["group"]
    if position["phase"] == "send" and position["package"]:
        position["package"] = parts.packages.cancel(position["package"])
        first += 1
    left = position["groups"][first:]
    position["groups"] = position["groups"][:first]
    return progress(position, counts=_not_sent(left))


def _not_sent(groups: list[Position]) -> dict[str, int]:
    rows = sum(group["rows"] for group in groups)
    return {"not-sent": rows} if rows else {}


async def note_again(parts: Parts, position: Position) -> Progress:
    """Keys that were collected for this run, without those of which something became."""
    following = to(position, "letters")
    if not position["params"].get("dirty"):
        return progress(following)
    sent = [
        f"{SENT}-{number}"
        for number, group in enumerate(position["groups"])
        if group.get("state") == "over"
    ]
    settled = await key_set(parts, position, [HINTS, *sent])
    async for line in all_lines(parts.spool(position, FAILED)):
        settled.add(json.loads(line)[0])
    keys = [key async for key in all_lines(parts.spool(position, KEYS)) if key not in settled]
    if not keys:
        return progress(following)
    await parts.dirty.note(parts.definition.flow.name, keys, name=position["run"])
    return progress(following, counts={"noted-again": len(keys)})
