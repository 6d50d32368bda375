"""The index of a large target out of exported data packages, one per company, instead of OData pages.

Position: `exports` [{company, at, row}], `export` the number of the one at work, `exported` the rows with an
id. A package spells values in its own way, so a row of it may only say that nothing differs; where
something does, the flow looks (`Known.spelled`). A package that is missing, failed, or does not hold all
the records that OData counts, is no reason to wait: the table is read by OData then.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

from integration.d365.filters import ne
from integration.d365.literals import COMPANY
from integration.d365.package_export import project_name
from integration.flows.loads.definition import header
from integration.flows.loads.findings import EXPORTED
from integration.flows.loads.keys import target_rows, to_source
from integration.flows.loads.parts import has_time, progress, to
from integration.state.key_index import IndexPart
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from integration.flows.loads.definition import WholeRun
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

    _Batches = AsyncGenerator[tuple[int, list[tuple[str, ...]]], None]


async def exports_of(parts: Parts, run: WholeRun) -> list[Position]:
    """One per company where the target is so large that packages are worth while; none otherwise."""
    if run.companies is None:
        return []
    rows = await target_rows(parts, ne(parts.definition.id_field, ""))
    if rows < parts.settings.volume.export_threshold:
        return []
    return [{"company": company, "at": None, "row": 0} for company in run.companies]


async def export(parts: Parts, position: Position, run: WholeRun) -> Progress:
    """One piece of work."""
    number, exports = position["export"], position["exports"]
    if number == len(exports):
        return await _checked(parts, position, run)
    mine = exports[number]
    if mine["at"] is None:  # its id is stored before F&O hears of it
        mine["at"] = parts.exports.begin(
            _project(parts, mine["company"], several=len(exports) > 1),
            parts.definition.entity,
            company=mine["company"],
            execution=f"{parts.definition.kind}-{position['run']}-x{number}",
            change_tracked=False,
        )
        return progress(position)
    advance = await parts.exports.advance(mine["at"])
    mine["at"] = advance.position
    if advance.failure:
        return _given_up(parts, position, f"{advance.failure} {advance.description}")
    if not advance.file_url:
        return progress(position, delay=advance.delay)
    await _read(parts, position, run, advance.file_url)
    return progress(position)


async def _read(parts: Parts, position: Position, run: WholeRun, url: str) -> None:
    mine, id_field = position["exports"][position["export"]], parts.definition.id_field
    fields = [name for name in run.select if name != COMPANY]
    found, index = await parts.findings(position), IndexPart()
    rows = parts.exported_rows(
        url, parts.definition.entity, [header(name) for name in fields], start=mine["row"]
    )
    done = False
    async with aclosing(cast("_Batches", rows)) as batches:
        async for after, batch in batches:
            mine["row"] = after
            for cells in batch:
                row = {COMPANY: mine["company"], **dict(zip(fields, cells, strict=True))}
                if row[id_field].strip():
                    run.index(row, index)
                    position["exported"] += 1
            if not has_time():
                break
            if index.is_full:
                await found.put(EXPORTED, index.to_bytes())
                index = IndexPart()
        else:
            done = True
    await found.put(EXPORTED, index.to_bytes())
    position["export"] += done


async def _checked(parts: Parts, position: Position, run: WholeRun) -> Progress:
    """A company that nobody named, or a project with a filter, would make records look new."""
    there, exported = (
        await target_rows(parts, ne(parts.definition.id_field, "")),
        position["exported"],
    )
    if there != exported:
        return _given_up(parts, position, f"they hold {exported} of {there} records with an id")
    source = to_source(parts, position, run.columns, EXPORTED)
    return progress(source, counts={"exports": position["export"]})


def _given_up(parts: Parts, position: Position, reason: str) -> Progress:
    log_event(
        "exported data packages are of no use; the rows are read by OData",
        level=logging.WARNING,
        flow=parts.definition.flow.name,
        reason=reason,
    )
    return progress(to(position, "target"), counts={"exports-failed": 1})


def _project(parts: Parts, company: str, *, several: bool) -> str:
    prefix, entity = parts.settings.volume.package_project, parts.definition.entity
    return project_name(prefix, entity, company if several else "")
