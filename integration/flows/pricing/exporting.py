"""Runs the data projects of a reading, one after another, and takes the rows out of their packages.

A run takes minutes inside F&O and is only asked about; a package is read in pieces, each going on where the
one before stopped. Position: `runs` [{project, entity, company, tracked, at}], `export` {run, row}.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Protocol, cast

from integration.d365.package_export import project_name
from integration.d365.package_rows import package_rows
from integration.flows.pricing.hashes import hash_of, put_hashes
from integration.flows.pricing.package_source import Partitions
from integration.jobs.kinds import PRICES
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence

    from integration.d365.package_export import ExportAdvance
    from integration.flows.pricing.order import Order
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position
    from integration.state.spool import PartStore

    _Batches = AsyncGenerator[tuple[int, list[tuple[str, ...]]], None]

ODATA, EXPORT, CHANGES = "odata", "export", "changes"
PRODUCTS_ENTITY, AGREEMENTS_ENTITY = "Released products V2", "Sales price agreements"
NAMED = "named"


class Exports(Protocol):
    """`d365.package_export.PackageExport`."""

    def begin(
        self, project: str, entity: str, *, company: str, execution: str, change_tracked: bool
    ) -> Position: ...

    async def advance(self, position: Position) -> ExportAdvance: ...
    async def processed(self, position: Position) -> None: ...


def runs_of(
    prefix: str, companies: Sequence[str], *, tracked: bool, full: bool
) -> list[dict[str, Any]]:
    """The data projects, by name: changes of both entities, then all agreements; each per company."""
    names: list[tuple[str, bool]] = []
    if tracked:
        names += [(PRODUCTS_ENTITY, True), (AGREEMENTS_ENTITY, True)]
    if full:
        names.append((AGREEMENTS_ENTITY, False))
    return [
        {
            "project": project_name(
                prefix, entity, company if len(companies) > 1 else "", changes=changes
            ),
            "entity": entity,
            "company": company,
            "tracked": changes,
            "at": None,
        }
        for entity, changes in names
        for company in companies
    ]


class Exporting:
    def __init__(
        self,
        store: PartStore,
        exports: Exports,
        rows: Callable[..., AsyncIterator[tuple[int, list[tuple[str, ...]]]]] = package_rows,
    ) -> None:
        self._store = store
        self._exports = exports
        self._rows = rows

    async def advance(self, position: Position, report: Report, order: Order | None) -> Position:
        """One piece of work; `order` is that of an `export` reading. When all is done or given up the phase
        is another one."""
        number = position["export"]["run"]
        if number == len(position["runs"]):
            return position | {"phase": "names" if position["reading"] == CHANGES else "scan"}
        report.ends_step = True  # F&O is told of a run only after its position was saved
        run = position["runs"][number]
        if run["at"] is None:
            execution = f"{position['run'].rpartition('/')[2]}-{number}"
            at = self._exports.begin(
                run["project"],
                run["entity"],
                company=run["company"],
                execution=execution,
                change_tracked=run["tracked"],
            )
            return _at(position, number, at)
        advance = await self._exports.advance(run["at"])
        report.delay = advance.delay
        if advance.failure:
            return await self._failed(position, report, number, advance)
        position = _at(position, number, advance.position)
        if not advance.file_url:
            return position
        if run["tracked"] and position["reading"] == EXPORT:
            return _next(position)  # all rows are read anyway; only its watermark counts
        return await self._read(position, report, order, advance.file_url)

    async def processed(self, position: Position) -> None:
        """The job has ended well: what change tracking told need not be told again."""
        for run in position["runs"]:
            if run["tracked"] and run["at"]:
                await self._exports.processed(run["at"])

    async def _read(
        self, position: Position, report: Report, order: Order | None, url: str
    ) -> Position:
        run = position["runs"][position["export"]["run"]]
        sink: Partitions | _Names
        if order is not None:
            sink = Partitions(self._store, position["run"], order, position["marks"])
        else:
            sink = _Names(self._store, f"{position['run']}/{NAMED}", position["marks"])
        row = position["export"]["row"]
        found = cast("_Batches", self._rows(url, run["entity"], sink.headers, start=row))
        async with aclosing(found) as batches:
            async for end, rows in batches:
                row = end
                sink.add(rows, run["company"])
                if sink.is_full:
                    await sink.flush()
                if not report.has_time():
                    break
            else:
                await sink.flush()
                return _next(position | {"marks": sink.part})
        await sink.flush()
        export = position["export"] | {"row": row}
        return position | {"export": export, "marks": sink.part}

    async def _failed(
        self, position: Position, report: Report, number: int, advance: ExportAdvance
    ) -> Position:
        run = position["runs"][number]
        report.counts["exports-failed"] += 1
        log_event(
            "export of a data project failed; the rows are read by OData",
            level=logging.WARNING,
            flow=PRICES,
            project=run["project"],
            reason=advance.failure,
            description=advance.description,
        )
        if run["tracked"]:
            if advance.failure == "expired":
                await self._exports.processed(advance.position)
            position = _at(position, number, None) | {"tracking": False}
            if position["reading"] == EXPORT:
                return _next(position)
        return position | {"reading": ODATA, "phase": "scan"}


def _at(position: Position, number: int, at: Position | None) -> Position:
    runs = list(position["runs"])
    runs[number] = runs[number] | {"at": at}
    return position | {"runs": runs}


def _next(position: Position) -> Position:
    return position | {"export": {"run": position["export"]["run"] + 1, "row": 0}}


class _Names:
    """The items that a change-tracked package names, as hashes."""

    headers = ("ITEMNUMBER",)

    def __init__(self, store: PartStore, name: str, part: int) -> None:
        self._store = store
        self._name = name
        self.part = part
        self._hashes: set[int] = set()

    def add(self, rows: Iterable[tuple[str, ...]], company: str) -> None:
        self._hashes |= {hash_of(item.casefold()) for (item,) in rows}

    @property
    def is_full(self) -> bool:
        return len(self._hashes) >= 100_000

    async def flush(self) -> None:
        await put_hashes(self._store, self._name, self.part, self._hashes)
        self.part += 1
        self._hashes.clear()
