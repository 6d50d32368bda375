"""Reads the numbers of new records back, and writes all missing numbers to Salesforce."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from integration.d365.filters import eq, ne
from integration.d365.literals import COMPANY
from integration.errors import IntegrationError, SystemTrouble
from integration.flows.loads.findings import BACK, FOUND, HINTS, SENT
from integration.flows.loads.keys import target_rows
from integration.flows.loads.lines import all_lines, chunks, key_set, keys_of, text_lines
from integration.flows.loads.pages import next_page
from integration.flows.loads.parts import has_time, progress, to, to_end
from integration.flows.loads.routing import look_up, to_salesforce
from integration.flows.loads.sending import REFUSED
from integration.flows.reading import rows_matching
from integration.flows.reconcile_keys import SalesforceKeys, Window
from integration.salesforce.bulk_csv import decode_rows
from integration.salesforce.ids import to_18
from integration.state.key_index import Checklist

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.flows.flow import Record
    from integration.flows.loads.findings import Findings
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

_TOGETHER = 1_000  # keys: about one $batch of filters
_MOVED = 2_000  # rows of one query
_SKEW = timedelta(seconds=5)  # by which clocks may differ


def created(position: Position) -> list[int]:
    """The packages of new records that F&O took."""
    return [
        number
        for number, group in enumerate(position["groups"])
        if group["operation"] == "create" and group.get("state") == "over"
    ]


async def numbers(parts: Parts, position: Position) -> Progress:
    """Of all rows with an id, or of the new ones by name, whichever is less."""
    groups = created(position)
    rows = sum(position["groups"][number]["rows"] for number in groups)
    if not rows:
        return progress(to(position, "moved"))
    if "lookup" not in position:
        d365, carried = parts.settings.d365, ne(parts.definition.id_field, "")
        position["lookup"] = look_up(
            rows,
            await target_rows(parts, carried),
            parts.settings.volume,
            terms=d365.filter_terms,
            batch=d365.batch_size,
        )
        return progress({**position, "after": None, "lists": groups})
    found, back = await parts.findings(position), await _NumbersBack.of(parts, position)
    if position["lookup"] == "table":
        while True:
            page, after = await next_page(
                parts, back.select, ne(parts.definition.id_field, ""), position["after"]
            )
            back.take(page, found)
            position["after"] = after
            if after is None or not has_time():
                break
        done = after is None
    else:
        done = await _by_name(parts, position, back, found)
    await found.save()
    if not done:
        return progress(position, found)
    if position.get("found") == rows:
        return progress(to(position, "moved"), found)
    return progress(to(position, "missing", lists=groups), found)


async def _by_name(parts: Parts, position: Position, back: _NumbersBack, found: Findings) -> bool:
    if not position["lists"]:
        return True
    definition = parts.definition
    spool = parts.spool(position, f"{SENT}-{position['lists'][0]}")
    async for keys in chunks(spool, position, _TOGETHER, text_lines):
        terms = [eq(definition.id_field, key) for key in keys]
        rows = await rows_matching(
            parts.d365,
            definition.entity_set,
            terms,
            back.select,
            per_filter=parts.settings.d365.filter_terms,
        )
        back.take(rows, found)
    if position["at"] is None:
        position.update(at=[0, 0], lists=position["lists"][1:])
    return False


class _NumbersBack:
    def __init__(self, parts: Parts, sent: Checklist) -> None:
        self._definition = parts.definition
        self._sent = sent
        definition = parts.definition
        self.select = tuple(dict.fromkeys((COMPANY, definition.number, definition.id_field)))

    @classmethod
    async def of(cls, parts: Parts, position: Position) -> _NumbersBack:
        lists = [f"{SENT}-{number}" for number in created(position)]
        rows = sum(position["groups"][number]["rows"] for number in created(position))
        sent = Checklist(await key_set(parts, position, lists, rows))
        async for key in all_lines(parts.spool(position, FOUND)):
            sent.meet(key)
        return cls(parts, sent)

    def take(self, rows: Iterable[Record], found: Findings) -> None:
        id_field, meet, back_value = (
            self._definition.id_field,
            self._sent.meet,
            self._definition.back_value,
        )
        numbered: list[tuple[str, str]] = []
        for row in rows:
            carried = row.get(id_field)
            if not isinstance(carried, str) or (first := meet(carried)) is None:
                continue
            key = to_18(carried)  # F&O may have changed its case
            if first:
                numbered.append((key, back_value(row)))
            else:
                found.hint(key)  # read twice, or there are two: the flow knows
        keys = [key for key, _ in numbered]
        found.lines(FOUND, keys)
        found.backs(numbered)
        if not self._definition.back_is_number:
            found.lines(HINTS, keys)
        found.counts["created"] += len(keys)
        found.position["found"] = found.position.get("found", 0) + len(keys)


async def missing(parts: Parts, position: Position) -> Progress:
    """New records that were sent, not refused, and are not there: their flow finds out why."""
    if not position["lists"]:
        return progress(to(position, "moved"))
    number = position["lists"][0]
    known = await key_set(
        parts, position, [FOUND, f"{REFUSED}-{number}"], position["groups"][number]["rows"]
    )
    found = await parts.findings(position)
    spool = parts.spool(position, f"{SENT}-{number}")
    async for keys in chunks(spool, position, 5_000, text_lines):
        for key in keys:
            if key not in known:
                found.hint(key)
    await found.save()
    if position["at"] is None:
        position.update(at=[0, 0], lists=position["lists"][1:])
    return progress(position, found)


async def moved(parts: Parts, position: Position) -> Progress:
    """Hints for records that changed after they were read. Before the numbers are written, because that
    is a change, too."""
    since = datetime.fromisoformat(position["read_at"]) - _SKEW
    until = position.setdefault("moved_until", parts.clock().isoformat())
    window = Window(since, datetime.fromisoformat(until))
    definition = parts.definition
    source = SalesforceKeys(parts.salesforce, definition.flow.name, definition.object)
    mine = await keys_of(parts, position)
    found, after = await parts.findings(position), position.get("moved_after")
    while True:
        page = await source.page(window, after, _MOVED)
        for ref in page.refs:
            if mine is None or ref.key in mine:
                found.hint(ref.key)
        after = page.after
        if after is None or not has_time():
            break
    await found.save()
    position["moved_after"] = after
    return progress(position if after else to(position, "write_back"), found)


async def write_back(parts: Parts, position: Position) -> Progress:
    """Numbers to Salesforce. What fails gets a hint: the flow reads, writes, and judges."""
    definition, volume = parts.definition, parts.settings.volume
    if not position["backs"]:
        return progress(to_end(position))
    if "bulk" not in position:
        size = parts.settings.salesforce.collection_size
        how = to_salesforce(position["backs"], volume, parts.salesforce.budget, collection=size)
        position["bulk"] = None
        if how == "bulk":
            position["bulk"] = parts.bulk_load.begin(
                f"{position['folder']}{BACK}",
                object=definition.object,
                columns=("Id", definition.number_field),
                operation="update",
                key="Id",
                name=f"{position['folder']}bulk",
            )
            return progress(position)
    if position["bulk"] is None:
        return await _with_collections(parts, position)
    advance = await parts.bulk_load.advance(position["bulk"])
    position["bulk"] = advance.position
    if advance.result is None:
        return progress(position, delay=advance.delay)
    result = advance.result
    following = to(position, "unwritten", failures=result.failures, unsure=result.unknown)
    return progress(following, counts={"written-back": result.processed - result.failed})


async def _with_collections(parts: Parts, position: Position) -> Progress:
    found, field = await parts.findings(position), parts.definition.number_field
    async for rows in chunks(parts.spool(position, BACK), position, _MOVED, decode_rows):
        fields = {key: {field: number} for key, number in rows}
        errors = await parts.definition.flow.write_back(fields)
        for key, error in errors.items():
            if isinstance(error, SystemTrouble) or not isinstance(error, IntegrationError):
                raise error
            found.hint(key)
        found.counts["written-back"] += len(rows) - len(errors)
    await found.save()
    return progress(position if position["at"] else to_end(position), found)


async def unwritten(parts: Parts, position: Position) -> Progress:
    """Rows that the Bulk load did not write; where Salesforce did not tell which, all of them."""
    found = await parts.findings(position)
    if position["unsure"]:
        async for rows in chunks(parts.spool(position, BACK), position, 5_000, decode_rows):
            for key, _ in rows:
                found.hint(key)
    else:
        spool = parts.named_spool(position["failures"])
        async for lines in chunks(spool, position, 5_000, text_lines):
            for line in lines:
                found.hint(str(json.loads(line)["key"]))
    await found.save()
    return progress(position if position["at"] else to_end(position), found)
