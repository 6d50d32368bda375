"""One export of a data package as short steps, for use inside the step of a job.

begin → start → poll → url → ready. A data project in F&O says which fields are exported and whether all rows
or only those changed since its last run. That watermark lies in F&O (F&O contract 6.7): a package that was
made and lost is not made again by itself. So a change-tracked export is written down before F&O hears of it,
as `exports/<project>.json` {"execution","at"}, and stays so until the caller says that its rows were
processed; until then every begin of that project leads back to the same run. F&O keeps files for seven days:
after that only a full export brings the lost changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from integration.d365.package_api import FINAL, RUNNING, ExecutionExists
from integration.d365.package_steps import (
    FILE_POLLS,
    UNKNOWN_POLLS,
    answer_or,
    to_phase,
    wait_once_more,
)
from integration.errors import IntegrationError, RecordRejected
from integration.state.blobs import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.d365.package_api import PackageApi
    from integration.d365.packages import Position
    from integration.settings import VolumeSettings
    from integration.state.spool import PartStore

REPEATS = 2  # of a run that failed
KEPT = timedelta(days=6)


def project_name(prefix: str, entity: str, company: str = "", *, changes: bool = False) -> str:
    """Of the data project that exports an entity; `company` where there is a project for each."""
    return " ".join(filter(None, (prefix, entity, company, "changes" if changes else "")))


@dataclass(frozen=True, slots=True)
class ExportAdvance:
    """Store `position`, come back after `delay` seconds.

    `file_url`: the package is there, for `package_rows`; its right ends, `advance` from the same position
    gives a new one. `failure`: Failed, PartiallySucceeded, Canceled, "deadline" or "expired" (a full
    export is needed, then `processed`), with a `description`.
    """

    position: Position
    delay: float = 0
    file_url: str = ""
    failure: str = ""
    description: str = ""


class PackageExport:
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

    def begin(
        self, project: str, entity: str, *, company: str, execution: str, change_tracked: bool
    ) -> Position:
        """The first position. The data project must exist in F&O; `execution` is a new id."""
        return {
            "phase": "begin",
            "project": project,
            "entity": entity,
            "company": company,
            "execution": execution,
            "change_tracked": change_tracked,
        }

    async def advance(self, position: Position) -> ExportAdvance:
        """The next short piece of work. Raises what a job waits out, as the client does."""
        until = position.get("until")
        late = until and self._clock() >= datetime.fromisoformat(until)
        if late and position["phase"] != "ready":
            text = f"did not end within {self._settings.package_longest}"
            return await self._failed(position, "deadline", text)
        steps = {
            "begin": self._begin,
            "start": self._start,
            "poll": self._poll,
            "url": self._url,
            "ready": self._ready,
        }
        return await steps[position["phase"]](position)

    async def processed(self, position: Position) -> None:
        """All rows of the package were taken over: the next change-tracked run may begin."""
        if position["change_tracked"]:
            await self._state.delete(_name(position))

    async def _begin(self, position: Position) -> ExportAdvance:
        until = (self._clock() + self._settings.package_longest).isoformat()
        following = to_phase(position, "start", until=until, again=False, repeats=0)
        if position["change_tracked"]:
            document = await self._state.read(_name(position))
            if document:
                earlier = json.loads(document.body)
                # Perhaps it never reached F&O, then it is started like a new one.
                following["execution"] = earlier["execution"]
                if self._clock() - datetime.fromisoformat(earlier["at"]) > KEPT:
                    text = "its package was never processed and is gone; a full export is needed"
                    return await self._failed(following, "expired", text)
            else:
                entry = {"execution": position["execution"], "at": self._clock().isoformat()}
                body = json.dumps(entry).encode()
                await self._state.write(_name(position), body, expected=ABSENT)
        return ExportAdvance(following)

    async def _start(self, position: Position) -> ExportAdvance:
        execution = position["execution"]
        try:
            started = await self._api.export_package(
                project=position["project"],
                package=execution,
                execution=execution,
                company=position["company"],
                again=position["again"],
            )
        except ExecutionExists:
            started = execution  # an earlier try arrived, or an earlier job's run
        except RecordRejected as error:
            return await self._failed(position, "Failed", error.description)
        return self._later(to_phase(position, "poll", execution=started, strange=0))

    async def _poll(self, position: Position) -> ExportAdvance:
        status = await self._api.status(position["execution"])
        if status in RUNNING:
            return self._later({**position, "strange": 0})
        if status == "Succeeded":
            return await self._url(to_phase(position, "url"))
        if status not in FINAL:
            strange = position["strange"] + 1
            if strange < UNKNOWN_POLLS:
                return self._later({**position, "strange": strange})
            status = "Failed"
        return await self._repeat(position, status)

    async def _url(self, position: Position) -> ExportAdvance:
        url = await answer_or(self._api.exported_url(position["execution"]), "")
        if url:
            return ExportAdvance(to_phase(position, "ready"), file_url=url)
        if position["polls"] < FILE_POLLS:
            return self._later(position)
        return await self._repeat(position, "Failed")

    async def _ready(self, position: Position) -> ExportAdvance:
        return await self._url(to_phase(position, "url"))

    async def _repeat(self, position: Position, status: str) -> ExportAdvance:
        """A change-tracked package that came to nothing is made again under its own id; a full one is
        simply begun anew by the caller."""
        if position["change_tracked"] and position["repeats"] < REPEATS:
            repeats = position["repeats"] + 1
            return self._later(to_phase(position, "start", again=True, repeats=repeats))
        return await self._failed(position, status, "")

    async def _failed(self, position: Position, status: str, text: str) -> ExportAdvance:
        execution = position["execution"]
        parts = [f"data management job {execution}: {status}", text]
        parts.append(await answer_or(self._api.summary_page(execution), "", IntegrationError))
        description = "; ".join(part for part in parts if part)
        return ExportAdvance(position, failure=status, description=description)

    def _later(self, position: Position) -> ExportAdvance:
        return ExportAdvance(*wait_once_more(position, self._settings))


def _name(position: Position) -> str:
    return f"exports/{position['project']}.json"
