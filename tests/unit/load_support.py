"""Loads with the real job engine, flow and mapping, between two dicts; packages and Bulk jobs are fakes of
their clients. Every effect on the outside ticks a clock at which the process can be made to crash."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from integration.d365.package_export import ExportAdvance
from integration.d365.package_steps import Advance, ImportResult
from integration.d365.packages import PackageTable, decode_rows
from integration.flows.accounts import AccountFlow
from integration.flows.context import FlowContext, FlowEntry
from integration.flows.endings import Endings
from integration.flows.engine import converge
from integration.flows.loads.accounts import AccountLoad
from integration.flows.loads.dirty import DirtyKeys
from integration.flows.loads.job import LoadJob
from integration.flows.loads.parts import Parts
from integration.flows.match_book import MatchBook
from integration.mapping.customisation import load_customisation
from integration.messaging.hints import bucket_of
from integration.salesforce.bulk_load import LoadAdvance
from integration.salesforce.bulk_position import LoadResult
from integration.salesforce.bulk_query import CellsAdvance, QueryAdvance
from integration.salesforce.soql import literal
from integration.settings import VolumeSettings
from integration.state.holds import Holds
from integration.state.intents import CreateIntents
from integration.state.spool import Spool
from tests.unit.account_support import (
    COMPANY,
    FIELDS,
    ID,
    NUMBER,
    NUMBER_FIELD,
    MemoryD365,
    MemorySalesforce,
    settings_of,
)
from tests.unit.test_jobs_support import CrashClock, JobBlobs
from tests.unit.test_jobs_support import World as Jobs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from integration.d365.filters import Filter
    from integration.messaging.dead_letters import DeadLetter
    from integration.messaging.hints import Hint

_TOKEN = re.compile(r"'((?:[^']|'')*)'|(\w+)|([()])|\s+")
_WORDS = {
    "eq": "==",
    "ne": "!=",
    "gt": ">",
    "lt": "<",
    "ge": ">=",
    "le": "<=",
    "and": "and",
    "or": "or",
}


class Salesforce(MemorySalesforce):
    def __init__(self, tick: CrashClock) -> None:
        super().__init__()
        self.tick = tick
        self.stamps: dict[str, datetime] = {}
        self.budget = None

    async def describe(self, object_name: str) -> dict[str, Any]:
        return {"fields": [{"name": name, "type": "string"} for name in FIELDS]}

    async def update_many(self, object_name: str, records: Sequence[Mapping[str, Any]]) -> Any:
        self.tick()
        results = await super().update_many(object_name, records)
        self.tick()
        return results

    async def query(self, soql: str, *, include_deleted: bool = False) -> Any:
        """Merged records, all or those of some masters."""
        assert include_deleted
        self.queries.append(soql)
        for key, row in self.gone.items():
            master = row.get("MasterRecordId")
            if master and (master in soql or "MasterRecordId != null" in soql):
                yield {"Id": key, NUMBER_FIELD: None, **row}

    async def query_all_rows(self, soql: str, *, include_deleted: bool = False) -> Any:
        """Records that changed in a window, all in one page."""
        found = re.search(r"SystemModstamp <= (\S+?)\).*?SystemModstamp >= (\S+?)\)", soql)
        assert found, soql
        until, since = (datetime.fromisoformat(text) for text in found.groups())
        return [
            {"Id": key, "SystemModstamp": stamp.isoformat()}
            for key, stamp in self.stamps.items()
            if since <= stamp <= until
        ]


class Rows:
    def __init__(self, rows: list[dict[str, Any]], total: int) -> None:
        self._rows = iter(rows)
        self.total = total

    def __aiter__(self) -> Rows:
        return self

    async def __anext__(self) -> dict[str, Any]:
        for row in self._rows:
            return row
        raise StopAsyncIteration

    async def page(self) -> list[dict[str, Any]]:
        return list(self._rows)


class D365(MemoryD365):
    """With pages: $filter, $orderby, $top."""

    pages = 0

    def query(self, entity_set: str, **options: Any) -> Any:
        rows = self.matching(options.get("filter"))
        rows.sort(key=lambda row: (row[COMPANY], row[NUMBER]))
        self.pages += 1
        select = [*options["select"], "@odata.etag"]
        found = [{name: row.get(name) for name in select} for row in rows]
        return Rows(found[: options.get("top")], len(found))

    def _rows(self, filter: Filter, select: Any) -> list[dict[str, Any]]:
        self.filters.append(filter.text)
        names = [*(select or ()), "@odata.etag"]
        return [{name: row.get(name) for name in names} for row in self.matching(filter)]

    def matching(self, filter_: Filter | None) -> list[dict[str, Any]]:
        if filter_ is None:
            return list(self.customers)
        parts = []
        for token in _TOKEN.finditer(filter_.text):
            text, word, bracket = token.groups()
            if text is not None:
                parts.append(repr(text.replace("''", "'").casefold()))
            elif word:
                parts.append(_WORDS.get(word, f"v({word!r})"))
            elif bracket:
                parts.append(bracket)
        code = compile(" ".join(parts), "filter", "eval")
        return [
            row
            for row in self.customers
            if eval(code, {"v": lambda name, row=row: str(row.get(name) or "").casefold()})
        ]


class Packages:
    """The interface of PackageImport, upserting into the dict; `refuse` judges a row."""

    def __init__(
        self, d365: D365, store: JobBlobs, tick: CrashClock, now: Callable[[], datetime]
    ) -> None:
        self.d365, self.store, self.tick, self.now = d365, store, tick, now
        self.refuse: Callable[[dict[str, str]], tuple[str, str] | None] = lambda row: None
        self.imports: dict[str, list[dict[str, str]]] = {}
        self.tables: dict[str, PackageTable] = {}
        self.companies: dict[str, str] = {}
        self.results: dict[str, ImportResult] = {}
        self.during: Callable[[], None] = lambda: None
        self.ends_as: str | None = None
        self.loses_rows = False

    def begin(self, rows: str, table: PackageTable, **ids: str) -> dict[str, Any]:
        return {"phase": "upload", "rows": rows, "table": table.to_json(), **ids}

    def cancel(self, position: dict[str, Any]) -> dict[str, Any]:
        return {**position, "cancel": True}

    async def advance(self, position: dict[str, Any]) -> Advance:
        execution = position["execution"]
        if position["phase"] == "upload" and position.get("cancel"):
            result = ImportResult("Canceled", 0, 0, "", True, execution, begun=False)
            return Advance(position, result=result)
        if position["phase"] == "upload":
            self.tick()
            return Advance({**position, "phase": "start"})
        if position["phase"] == "start":
            await self._start(position, execution)
            return Advance({**position, "phase": "poll"}, delay=5)
        if position["phase"] == "poll":
            self.during()
            return Advance({**position, "phase": "over"}, delay=5)
        return Advance(position, result=await self._result(position, execution))

    async def _start(self, position: dict[str, Any], execution: str) -> None:
        if execution in self.imports:  # F&O refuses an id that it has seen
            return
        table = PackageTable.from_json(position["table"])
        rows = [
            dict(zip(table.headers, cells, strict=True))
            for body in [b async for b in Spool(self.store, position["rows"]).stream()]
            for cells in decode_rows(body)
        ]
        self.tick()
        self.imports[execution], self.tables[execution] = rows, table
        self.companies[execution] = position["company"]
        if self.ends_as not in ("deadline", "Canceled", "Failed"):
            drawn = {column.header for column in table.columns if column.auto_generated}
            for row in rows[: len(rows) // 2] if self.loses_rows else rows:
                if self.refuse(row) is None:
                    self._upsert(row, position["company"], drawn)
        self.tick()

    def _upsert(self, row: dict[str, str], company: str, drawn: set[str]) -> None:
        names = {name.upper(): name for name in (*FIELDS_OF_CUSTOMERS, ID, NUMBER)}
        values = {names[header]: text for header, text in row.items() if header not in drawn}
        number = values.get(NUMBER)
        for customer in self.d365.customers:
            if number and (customer[COMPANY], customer[NUMBER]) == (company, number):
                customer.update(values)
                return
        number = number or f"US-{len(self.d365.customers) + 1:06}"
        account = values.pop(ID)
        self.d365.add(number, account, **{**values, NUMBER: number, COMPANY: company})

    async def _result(self, position: dict[str, Any], execution: str) -> ImportResult:
        rows, table = self.imports[execution], self.tables[execution]
        lines = []
        for row in rows:
            if refusal := self.refuse(row):
                key = {name: row[name] for name in table.key}
                lines.append(json.dumps({"key": key, "field": refusal[0], "message": refusal[1]}))
        name = f"{position['rows']}-failures"
        status = self.ends_as or ("PartiallySucceeded" if lines else "Succeeded")
        unknown = self.ends_as is not None
        if lines and not unknown:
            await Spool(self.store, name).put(0, "".join(f"{line}\n" for line in lines).encode())
        failed = 0 if unknown else len(lines)
        return ImportResult(status, len(rows), failed, name, unknown, f"{execution}: {status}")


class Exports:
    """The interface of PackageExport over the dict, and of `package_rows`: two rows at a time. `spell` writes
    a value as a package would; `hides` leaves customers out; `fails` says why a project comes to nothing."""

    def __init__(self, d365: D365, tick: CrashClock) -> None:
        self._d365, self._tick = d365, tick
        self.begun: dict[str, dict[str, Any]] = {}
        self.spell: Callable[[Any], str] = lambda value: "" if value is None else str(value)
        self.hides: Callable[[dict[str, Any]], bool] = lambda row: False
        self.fails = ""

    def begin(self, project: str, entity: str, **about: Any) -> dict[str, Any]:
        return {"phase": "begin", "project": project, "entity": entity, **about}

    async def advance(self, position: dict[str, Any]) -> ExportAdvance:
        execution = position["execution"]
        if position["phase"] == "begin":
            self._tick()
            self.begun.setdefault(execution, position)
            return ExportAdvance({**position, "phase": "poll"}, delay=5)
        if self.fails:
            return ExportAdvance(position, failure="Failed", description=self.fails)
        return ExportAdvance(position, file_url=execution)

    async def rows(
        self, url: str, entity: str, columns: Sequence[str], *, start: int = 0
    ) -> AsyncIterator[tuple[int, list[tuple[str, ...]]]]:
        company = self.begun[url]["company"]
        mine = [row for row in self._d365.customers if row[COMPANY] == company]
        names = {name.upper(): name for name in (*FIELDS_OF_CUSTOMERS, ID, NUMBER)}
        shown = [row for row in mine if not self.hides(row)]
        for place in range(start, len(shown), 2):
            batch = shown[place : place + 2]
            cells = [tuple(self.spell(row.get(names.get(c, c))) for c in columns) for row in batch]
            yield place + len(batch), cells


FIELDS_OF_CUSTOMERS = (
    "OrganizationName", "PersonFirstName", "PersonLastName", "PartyType", "AddressStreet",
    "AddressCity", "AddressZipCode", "AddressState", "AddressCountryRegionId",
    "PrimaryContactPhone", "PrimaryContactURL", "SalesCurrencyCode", "CustomerGroupId", "LanguageId",
)  # fmt: skip


class Query:
    """The interface of BulkQuery over the dict: some rows per batch, some batches per page."""

    batch, page = 7, 3

    def __init__(self, salesforce: Salesforce) -> None:
        self._salesforce = salesforce
        self._snapshots: dict[str, list[dict[str, str | None]]] = {}
        self.asked: list[str] = []
        self.aborted: list[str] = []

    def begin(self, soql: str, *, all_rows: bool = False) -> dict[str, Any]:
        return {"phase": "create", "soql": soql}

    async def advance(self, position: dict[str, Any]) -> QueryAdvance:
        if position["phase"] == "create":
            self.asked.append(position["soql"])
            job = str(len(self._snapshots))
            self._snapshots[job] = self._rows(position["soql"])
            return QueryAdvance({**position, "phase": "poll", "job": job}, delay=2)
        if position["phase"] == "poll":
            return QueryAdvance({**position, "phase": "read", "skip": 0})
        rows: list[Any] = []
        found = QueryAdvance(position)
        async for found in self.batches(position):
            rows += found.rows or ()
        return QueryAdvance(found.position, rows=rows, done=found.done)

    async def abort(self, position: dict[str, Any]) -> None:
        self.aborted.append(position["soql"])

    async def cells(self, position: dict[str, Any]) -> AsyncIterator[CellsAdvance]:
        header = list(reversed(position["soql"].split("SELECT ")[1].split(" FROM")[0].split(",")))
        async for found in self.batches(position):
            cells = [[row[name] or "" for name in header] for row in found.rows or ()]
            yield CellsAdvance(found.position, header, cells, found.done)

    async def batches(self, position: dict[str, Any]) -> AsyncIterator[QueryAdvance]:
        snapshot = self._snapshots[position["job"]]
        skip = position["skip"]
        for _ in range(self.page):
            rows = snapshot[skip : skip + self.batch]
            if not rows:
                break
            skip += len(rows)
            yield QueryAdvance({**position, "skip": skip}, rows=[dict(row) for row in rows])
        yield QueryAdvance({**position, "skip": skip}, rows=[], done=skip >= len(snapshot))

    def _rows(self, soql: str) -> list[dict[str, str | None]]:
        columns = soql.split("SELECT ")[1].split(" FROM")[0].split(",")
        since = re.search(r">= (\S+)", soql)
        return [
            {name: row.get(name) or None for name in columns}
            for key, row in self._salesforce.accounts.items()
            if not since
            or ((stamp := self._salesforce.stamps.get(key)) and literal(stamp) >= since.group(1))
        ]


class Load:
    """The interface of BulkLoad, updating the dict."""

    def __init__(self, salesforce: Salesforce, store: JobBlobs, tick: CrashClock) -> None:
        self._salesforce, self._store, self._tick = salesforce, store, tick
        self.begun = 0

    def begin(self, rows: str, *, name: str, **options: Any) -> dict[str, Any]:
        self.begun += 1
        return {"phase": "create", "rows": rows, "name": name, **options}

    def cancel(self, position: dict[str, Any]) -> dict[str, Any]:
        return {**position, "cancel": True}

    async def advance(self, position: dict[str, Any]) -> LoadAdvance:
        if position.get("cancel") and position["phase"] != "over":
            result = LoadResult(0, 0, 0, "", 0, "Aborted", "cancelled", True)
            return LoadAdvance(position, result=result)
        if position["phase"] == "create":
            return LoadAdvance({**position, "phase": "upload"})
        if position["phase"] == "upload":
            self._tick()
            return LoadAdvance({**position, "phase": "over"}, delay=2)
        lines, count = [], 0
        for body in [b async for b in Spool(self._store, position["rows"]).stream()]:
            for cells in csv.reader(io.StringIO(body.decode())):
                row = dict(zip(position["columns"], cells, strict=True))
                count += 1
                if row["Id"] in self._salesforce.row_errors:
                    lines.append(json.dumps({"key": row["Id"], "code": "X", "message": "no"}))
                else:
                    self._salesforce.accounts[row["Id"]].update(row)
        self._tick()
        failures = f"{position['name']}/failures"
        if lines:
            await Spool(self._store, failures).put(0, "\n".join(lines).encode())
        return LoadAdvance(
            position,
            result=LoadResult(count, len(lines), 0, failures, 0, "JobComplete", "", False),
        )


class Outbox:
    """Drops a message whose id it has seen, as the broker does."""

    def __init__(self, tick: CrashClock) -> None:
        self._tick = tick
        self.hints: dict[str, Hint] = {}
        self.letters: dict[str, DeadLetter] = {}
        self.on_hint: Callable[[], None] = lambda: None

    async def send_hints(self, hints: Iterable[Hint]) -> None:
        self._tick()
        self.on_hint()
        self.hints |= {hint.message_id: hint for hint in hints}
        self._tick()

    async def dead_letter(self, letter: DeadLetter) -> None:
        self._tick()
        self.letters[letter.message_id] = letter
        self._tick()

    async def schedule(self, hint: Hint, delay: float) -> None:
        raise AssertionError("a load schedules nothing")

    async def schedule_raw(self, body: bytes, **_: Any) -> None:
        raise AssertionError("a load schedules nothing")

    @property
    def hinted(self) -> set[str]:
        return {hint.key for hint in self.hints.values()}


class Ledger:
    async def record(self, entry: Any) -> None:
        raise AssertionError("not of this flow")

    async def settle(self, flow: str, key: str) -> None: ...


class World:
    """`volume`: settings by their fields. Use `run`, then look at the two dicts."""

    def __init__(self, mapping: str | None = None, volume: Any = None, **settings: str) -> None:
        self.tick = CrashClock()
        self.salesforce = Salesforce(self.tick)
        self.d365 = D365()
        self.jobs = Jobs()
        self.blobs = self.jobs.blobs
        self.blobs.crash = self.tick
        self.jobs.crash = self.tick
        self.outbox = Outbox(self.tick)
        values = {
            "package_threshold": 3,
            "bulk_threshold": 1000,
            "d365_page": 100,
            **(volume or {}),
        }
        app = settings_of(BATCH_SECONDS="1", **settings)
        app = app.model_copy(update={"volume": VolumeSettings().model_copy(update=values)})
        self.holds = Holds(self.blobs, cache=0, clock=lambda: self.jobs.now)
        self.matches = MatchBook(self.blobs)
        context = FlowContext(
            app,
            load_customisation(mapping),
            cast("Any", self.salesforce),
            cast("Any", self.d365),
            CreateIntents(self.blobs, quarantine=timedelta(0), clock=lambda: self.jobs.now),
            self.matches,
            self.holds,
        )
        self.flow = AccountFlow(context)
        self.entry = FlowEntry(self.flow, "salesforce", "Account", "on")
        self.packages = Packages(self.d365, self.blobs, self.tick, lambda: self.jobs.now)
        self.query = Query(self.salesforce)
        self.exports = Exports(self.d365, self.tick)
        self.load = Load(self.salesforce, self.blobs, self.tick)
        self.dirty = DirtyKeys(self.blobs)
        self.parts = Parts(
            AccountLoad(context, self.flow),
            app,
            self.blobs,
            cast("Any", self.salesforce),
            cast("Any", self.d365),
            cast("Any", self.outbox),
            Endings(cast("Any", self.outbox), cast("Any", Ledger())),
            self.holds,
            self.dirty,
            cast("Any", self.packages),
            cast("Any", self.exports),
            cast("Any", self.load),
            cast("Any", self.query),
            lambda: self.jobs.now,
            self.exports.rows,
        )
        self.jobs.runner._jobs["load-accounts"] = LoadJob(self.parts)

    async def run(self, **params: Any) -> dict[str, int]:
        """The counts of a whole run."""
        job = await self.jobs.runner.start("load-accounts", params)
        assert job is not None
        return await self.finish(job)

    async def finish(self, job: str, status: str = "done") -> dict[str, int]:
        await self.jobs.drain(600)
        state = await self.state(job)
        assert state.status == status, state.error
        return dict(state.counts)

    async def state(self, job: str) -> Any:
        loaded = await self.jobs.runner.store.load("load-accounts", job)
        assert loaded is not None
        return loaded[0]

    def use(self, *, terms: int, batch: int) -> None:
        """So many comparisons in a filter, and filters in a batch."""
        d365 = self.parts.settings.d365.model_copy(
            update={"filter_terms": terms, "batch_size": batch}
        )
        settings = self.parts.settings.model_copy(update={"d365": d365})
        self.parts = replace(self.parts, settings=settings)
        self.restart()

    def restart(self) -> None:
        """Another process: nothing that was in memory is left."""
        parts = replace(self.parts, holds=Holds(self.blobs, cache=0, clock=lambda: self.jobs.now))
        self.jobs.runner._jobs["load-accounts"] = LoadJob(parts)

    async def follow_hints(self) -> None:
        """What the flow does with the hints of the load."""
        keys = {key: bucket_of(key, 4) for key in sorted(self.outbox.hinted)}
        if keys:
            await converge(self.flow, keys)

    def left_behind(self) -> list[str]:
        """Documents that a run should have removed."""
        return [name for name in self.blobs.documents if name.startswith(("spool/", "dirty/"))]
