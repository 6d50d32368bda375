"""The beginning of a load: whose keys they are, and the hold on them."""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from integration.flows.loads.findings import HINTS, KEYS, NOTES
from integration.flows.loads.lines import all_lines, chunks, hashes_of, text_lines
from integration.flows.loads.parts import has_time, progress, to
from integration.flows.loads.routing import look_up, to_d365
from integration.flows.reading import count_rows
from integration.salesforce.soql import condition, select
from integration.state.holds import CACHE_SECONDS
from integration.state.key_index import KeySet
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integration.d365.filters import Filter
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

CHANGED = "SystemModstamp"
_TOGETHER = 16  # documents read or removed at the same time
_NOTES = 2_000  # documents of one step
_MARGIN = 1.0  # seconds


async def begin(parts: Parts, params: Position) -> Progress:
    """`params`: {} for all records, {"since": time}, {"company": id}, {"dirty": true}; {"dry": true} beside
    one of them only counts."""
    kind, now = parts.definition.kind, parts.clock()
    await _take_over(parts)
    run = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03}-{secrets.token_hex(2)}"
    position: Position = {
        "run": run,
        "folder": f"{kind}/{run}/",
        "params": params,
        "started_at": now.isoformat(),
        "part": 0,
        "groups": [],
        "backs": 0,
        "looks": 0,
        "keys": 0,
        "whole": False,
    }
    if params.get("dirty"):
        return progress(to(position, "collect"))
    if parts.definition.table is not None and not params.get("since"):
        return progress(to({**position, "whole": True}, "hold"))
    return progress(to(position, "ask", query=parts.bulk_query.begin(_keys_query(parts, params))))


def _keys_query(parts: Parts, params: Position) -> str:
    return select(parts.definition.object, ("Id",), where=_changed_since(params))


def to_source(parts: Parts, position: Position, columns: Sequence[str], index: str) -> Position:
    """The comparison of the source's rows with the index in this spool."""
    soql = select(parts.definition.object, columns, where=_changed_since(position["params"]))
    return to(position, "source", index=index, query=parts.bulk_query.begin(soql))


def _changed_since(params: Position) -> str:
    since = params.get("since")
    return condition(CHANGED, ">=", datetime.fromisoformat(since)) if since else ""


async def _take_over(parts: Parts) -> None:
    """Removes what runs that ended early have left; the changes they had collected are noted again."""
    prefix = f"spool/{parts.definition.kind}/"
    names = [name async for name in parts.store.names(prefix)]
    runs = dict.fromkeys(name[len(prefix) :].split("/")[0] for name in names)
    for run in runs:
        mine = [name for name in names if name.startswith(f"{prefix}{run}/")]
        if any(name.startswith(f"{prefix}{run}/{NOTES}/") for name in mine):
            spool = Spool(parts.store, f"{parts.definition.kind}/{run}/{KEYS}")
            keys = [key async for key in all_lines(spool)]
            await parts.dirty.note(parts.definition.flow.name, keys, name=run)
        for name in mine:
            await parts.store.delete(name)


async def collect(parts: Parts, position: Position) -> Progress:
    """Every key once, however often it was noted."""
    flow = parts.definition.flow.name
    known = KeySet()
    async for key in all_lines(parts.spool(position, KEYS)):
        known.add(key)
    read = {note async for note in all_lines(parts.spool(position, NOTES))}
    new = [note for note in await parts.dirty.notes(flow) if note not in read]
    found = await parts.findings(position)
    for start in range(0, min(len(new), _NOTES), _TOGETHER):
        if not has_time():
            break
        notes = new[start : start + _TOGETHER]
        for note, keys in zip(
            notes, await asyncio.gather(*map(parts.dirty.keys, notes)), strict=True
        ):
            found.line(NOTES, note)
            for key in keys:
                if known.add(key):
                    found.line(KEYS, key)
                    position["keys"] += 1
    await found.save()
    return progress(position if new else to(position, "forget"))


async def forget(parts: Parts, position: Position) -> Progress:
    """The notes are kept in the run's own spool by now."""
    async for notes in chunks(parts.spool(position, NOTES), position, _TOGETHER, text_lines):
        await asyncio.gather(*map(parts.dirty.forget, notes))
    if position["at"]:
        return progress(position)
    budget = parts.salesforce.budget
    if to_d365(position["keys"], parts.settings.volume, budget) == "package":
        return progress(await _to_hold(parts, position))
    found = await parts.findings(to(position, "hints"))
    async for key in all_lines(parts.spool(position, KEYS)):
        found.line(HINTS, key)
    await found.save()
    return progress(found.position, found)


async def ask(parts: Parts, position: Position) -> Progress:
    """The ids alone: the records are read when they are held."""
    advance = await parts.bulk_query.advance(position["query"])
    found = await parts.findings(position)
    for row in advance.rows or ():
        found.line(KEYS, row["Id"] or "")
        position["keys"] += 1
    await found.save()
    position = {**position, "query": advance.position}
    if advance.done:
        return progress(await _to_hold(parts, position))
    return progress(position, delay=advance.delay)


async def _to_hold(parts: Parts, position: Position) -> Position:
    if not position["keys"]:
        return to(position, "write_back")
    if parts.definition.table is not None:
        d365 = parts.settings.d365
        how = look_up(
            position["keys"],
            await target_rows(parts),
            parts.settings.volume,
            terms=d365.filter_terms,
            batch=d365.batch_size,
        )
        position = {**position, "whole": how == "table"}
    return to(position, "hold")


async def target_rows(parts: Parts, filter_: Filter | None = None) -> int:
    table = parts.definition
    return await count_rows(parts.d365, table.entity_set, key=table.number, filter=filter_)


async def hold(parts: Parts, position: Position) -> Progress:
    """From here on hints for these keys wait; what had begun before is over after the delay."""
    following = to(position, "target" if position["whole"] else "look")
    if position["params"].get("dry"):
        return progress(following)
    keys = None
    if position["keys"]:
        keys = await hashes_of(parts.spool(position, KEYS))
    await publish(parts, position, keys, version=1)
    wait = CACHE_SECONDS + parts.settings.app.batch_seconds + _MARGIN
    return progress(following, delay=wait)


async def publish(
    parts: Parts, position: Position, keys: Iterable[int] | None, *, version: int
) -> None:
    until = datetime.fromisoformat(position["started_at"]) + longest(parts)
    flow = parts.definition.flow.name
    await parts.holds.publish(owner(parts, position), flow, keys, until, version=version)


def owner(parts: Parts, position: Position) -> str:
    return f"{parts.definition.kind}-{position['run']}"


def longest(parts: Parts) -> timedelta:
    """Several packages may follow one another, and the writing back of the numbers."""
    volume = parts.settings.volume
    return 3 * volume.package_longest + volume.bulk_longest
