"""One import of a data package as short steps, for use inside the step of a job.

wait (for the lease) → upload → start → poll → keys → failures → over. Every step may run again from the
same position: the pieces of the file are the same pieces, the execution id is ours and was stored before
F&O heard of it, so F&O refuses a second start, and everything after it only reads. F&O takes one import at a
time (F&O contract 6.1), hence the lease over all of it. Its history of a run is kept, for support.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from integration.d365.package_api import FINAL, RUNNING, ExecutionExists, ImportRunning
from integration.d365.package_blobs import UrlRefused
from integration.d365.package_errors import read_messages
from integration.d365.package_failures import find_error_files, write_failures
from integration.d365.package_steps import (
    UNKNOWN_POLLS,
    Advance,
    ImportResult,
    answer_or,
    to_phase,
    wait_once_more,
)
from integration.d365.package_upload import PackageUpload
from integration.d365.packages import PackageTable, Position
from integration.errors import (
    ConfigurationError,
    ContractError,
    IntegrationError,
    RecordRejected,
)
from integration.state.lease import Lease
from integration.state.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.d365.package_api import PackageApi
    from integration.settings import VolumeSettings
    from integration.state.spool import PartStore

LEASE = "dmf-import"
_NEVER_BEGUN = ("wait", "upload")


class PackageImport:
    def __init__(
        self,
        api: PackageApi,
        state: PartStore,
        settings: VolumeSettings,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._api = api
        self._state = state
        self._settings = settings
        self._clock = clock
        self._lease = Lease(state, LEASE, clock=clock)
        self._upload = PackageUpload(api, state, settings)

    def begin(
        self,
        rows: str,
        table: PackageTable,
        *,
        company: str,
        project: str,
        execution: str,
        owner: str,
    ) -> Position:
        """The first position. `rows` names a spool of `encode_rows` parts; `execution` is a new id;
        `owner` (the job's id) holds the lease. Nothing happens before it is stored."""
        return {
            "phase": "wait",
            "rows": rows,
            "table": table.to_json(),
            "company": company,
            "project": project,
            "execution": execution,
            "owner": owner,
        }

    def cancel(self, position: Position) -> Position:
        """Ends it at the next `advance`, where F&O does not know it yet.

        No action of F&O stops an import that has begun (F&O contract 6.1; a clerk can): that one is
        followed to its end or deadline. So is one whose start may have been on its way; it is not
        started again.
        """
        if position["phase"] == "start":
            position = to_phase(position, "poll", url="")
        return {**position, "cancel": True}

    async def advance(self, position: Position) -> Advance:
        """The next short piece of work.

        Raises what a job waits out (SystemTrouble, OutcomeUnknown, StateConflict, DeadlineReached), and
        ConfigurationError or ContractError for a package that cannot be made; the lease is free then.
        """
        if "result" in position:
            return Advance(position, result=ImportResult(**position["result"]))
        try:
            return await self._advance(position)
        except (ConfigurationError, ContractError):
            if position["phase"] in _NEVER_BEGUN:
                await self._lease.release(position["owner"])
            else:
                await self._lease.leave(position["owner"], position["execution"])
            raise

    async def _advance(self, position: Position) -> Advance:
        phase = position["phase"]
        if position.get("cancel") and phase in _NEVER_BEGUN:
            return await self._over(position, "Canceled", "canceled before F&O began")
        until = position.get("until")
        if until and self._clock() >= datetime.fromisoformat(until):
            text = f"did not end within {self._settings.package_longest}"
            return await self._over(position, "deadline", text)
        steps = {
            "wait": self._wait,
            "upload": self._send,
            "start": self._start,
            "poll": self._poll,
            "keys": self._failures,
        }
        return await steps[phase](position)

    async def _wait(self, position: Position) -> Advance:
        owner, until = position["owner"], self._clock() + self._settings.package_longest
        hold = await self._lease.take(owner, until)
        if hold and hold.left and await self._api.status(hold.left) not in RUNNING:
            hold = await self._lease.take(owner, until, instead_of=hold)
        if hold:
            return self._later(position)
        return await self._send(to_phase(position, "upload", until=until.isoformat(), upload={}))

    async def _send(self, position: Position) -> Advance:
        try:
            sent = await self._upload.advance(
                position["upload"],
                position["rows"],
                PackageTable.from_json(position["table"]),
                project=position["project"],
                execution=position["execution"],
            )
        except UrlRefused:
            return self._later({**position, "upload": {}})
        if not sent.url:
            return Advance({**position, "upload": sent.position})
        following = to_phase(position, "start", upload={}, url=sent.url, total=sent.rows)
        if not sent.rows:
            return await self._over(following, "Succeeded", "no rows", unknown=False)
        return Advance(following)

    async def _start(self, position: Position) -> Advance:
        execution = position["execution"]
        try:
            execution = await self._api.import_package(
                position["url"],
                project=position["project"],
                execution=execution,
                company=position["company"],
            )
        except ExecutionExists:
            pass  # an earlier try of this step arrived
        except ImportRunning:
            return self._later(position)
        except RecordRejected as error:
            return await self._over(position, "Failed", f"refused at once: {error.description}")
        return self._later(to_phase(position, "poll", execution=execution, url=""))

    async def _poll(self, position: Position) -> Advance:
        status = await self._api.status(position["execution"])
        if status in RUNNING:
            return self._later({**position, "strange": 0})
        if status not in FINAL:
            strange = position.get("strange", 0) + 1
            if strange < UNKNOWN_POLLS:
                return self._later({**position, "strange": strange})
            status = "Canceled" if position.get("cancel") else "Failed"
            return await self._over(position, status, "F&O knows no such run")
        if status == "Succeeded":
            return await self._over(position, status, "", unknown=False)
        if status == "Canceled":
            return await self._over(position, status, "canceled in F&O")
        return Advance(to_phase(position, "keys", status=status))

    async def _failures(self, position: Position) -> Advance:
        execution, table = position["execution"], PackageTable.from_json(position["table"])
        files = await find_error_files(self._api, execution, table.entity, position.get("made"))
        if not files.there and position["polls"] < files.polls:
            return self._later({**position, "made": files.made})
        messages = read_messages(await answer_or(self._api.execution_errors(execution), ""))
        source, refused = Spool(self._state, position["rows"]), self._refused(position)
        failures = await write_failures(refused, source, table, messages, files.urls)
        status, total = position["status"], position["total"]
        unknown = (
            failures.unclear
            or not failures.count
            or (files.made and not files.there)
            or (status == "Failed" and failures.count < total)
        )
        return await self._over(position, status, failures.summary, failures.count, unknown=unknown)

    async def _over(
        self,
        position: Position,
        status: str,
        text: str,
        failed: int = 0,
        *,
        unknown: bool = True,
    ) -> Advance:
        execution, begun = position["execution"], position["phase"] not in _NEVER_BEGUN
        page = ""
        if status != "Succeeded" and begun:
            page = await answer_or(self._api.summary_page(execution), "", IntegrationError)
        description = f"data management job {execution}: {status}"
        description = "; ".join(part for part in (description, text, page) if part)
        rows, failures = position.get("total", 0), _failures_of(position)
        result = ImportResult(status, rows, failed, failures, unknown, description, begun)
        if not failed:
            await self._refused(position).clear()  # of an earlier run with the same rows
        await self._lease.release(position["owner"])
        over = to_phase(position, "over", url="", upload={}, result=asdict(result))
        return Advance(over, result=result)

    def _refused(self, position: Position) -> Spool:
        return Spool(self._state, _failures_of(position))

    def _later(self, position: Position) -> Advance:
        return Advance(*wait_once_more(position, self._settings))


def _failures_of(position: Position) -> str:
    return f"{position['rows']}-failures"
