"""Compares whole tables: first an index of the target, by pages or packages, then the source row by row."""

from __future__ import annotations

from contextlib import aclosing
from operator import itemgetter
from typing import TYPE_CHECKING

from integration.errors import RecordRejected
from integration.flows.loads import exporting
from integration.flows.loads.definition import Known
from integration.flows.loads.findings import DOUBTFUL, EXPORTED, INDEX
from integration.flows.loads.keys import to_source
from integration.flows.loads.lines import key_set, keys_of
from integration.flows.loads.pages import next_page
from integration.flows.loads.parts import has_time, progress, to
from integration.mapping.shapes import DIGEST_SIZE
from integration.state.key_index import IndexPart, KeyIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.loads.definition import WholeRun
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress


async def target(parts: Parts, position: Position) -> Progress:
    run = await _prepared(parts, position)
    found, index = await parts.findings(position), IndexPart()
    if "read_at" not in position:
        position["read_at"] = parts.clock().isoformat()
        assert parts.definition.table is not None
        for doubtful in await parts.definition.table.doubtful():
            found.line(DOUBTFUL, doubtful)
        await found.save()
        if exports := await exporting.exports_of(parts, run):
            return progress(to(position, "export", exports=exports, export=0, exported=0))
    while True:
        rows, after = await next_page(parts, run.select, run.filter, position.get("after"))
        for row in rows:
            run.index(row, index)
        position["after"] = after
        if after is None or not has_time() or index.is_full:
            break
    await found.put(INDEX, index.to_bytes())
    if after is not None:
        return progress(position)
    return progress(to_source(parts, position, run.columns, INDEX))


async def export(parts: Parts, position: Position) -> Progress:
    return await exporting.export(parts, position, await _prepared(parts, position))


class Source:
    """The second half. Keeps what it looks up between the steps that run in the same process."""

    def __init__(self) -> None:
        self._known: tuple[str, Known] | None = None

    async def step(self, parts: Parts, position: Position) -> Progress:
        if position["query"]["phase"] != "read":
            advance = await parts.bulk_query.advance(position["query"])
            if not advance.rows:
                position["query"] = advance.position
                return progress(position, delay=advance.delay)
        run = await _prepared(parts, position)
        known = await self._of(parts, position, run)
        found = await parts.findings(position)
        company = position["params"].get("company")
        key = run.columns.index("Id")
        done = False
        while not done and has_time():
            async with aclosing(parts.bulk_query.cells(position["query"])) as batches:
                async for batch in batches:
                    rows: Sequence[Sequence[str]] = batch.cells
                    if tuple(batch.header) != run.columns:
                        order = itemgetter(*map(batch.header.index, run.columns))
                        rows = [order(cells) for cells in rows]
                    if known.keys is not None:
                        rows = [row for row in rows if row[key] in known.keys]
                    found.counts["read"] += len(rows)
                    run.judge(rows, known, found, company)
                    position["query"], done = batch.position, batch.done
                    if found.is_full:
                        await found.save()
                    if not has_time():
                        break
        await found.save()
        if not done:
            return progress(position, found)
        self._known = None
        return progress(to(position, "look" if position["looks"] else "decide"), found)

    async def _of(self, parts: Parts, position: Position, run: WholeRun) -> Known:
        if self._known is None or self._known[0] != position["run"]:
            bodies = [body async for body in parts.spool(position, position["index"]).stream()]
            index = KeyIndex(bodies, digests=run.digests, size=DIGEST_SIZE)
            doubtful = await key_set(parts, position, [DOUBTFUL])
            keys, spelled = await keys_of(parts, position), position["index"] == EXPORTED
            known = Known(index, doubtful, keys, spelled)
            self._known = position["run"], known
        return self._known[1]


async def _prepared(parts: Parts, position: Position) -> WholeRun:
    """Raises RecordRejected where another mapping compares than the one that made the index."""
    table = parts.definition.table
    assert table is not None
    run = await table.prepare()
    if position.setdefault("mapping", run.signature) != run.signature:
        text = "the mapping or the fields of the organisation changed while the load ran; start it again"
        raise RecordRejected(text, reason="mapping-changed")
    return run
