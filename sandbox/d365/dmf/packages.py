"""Data management as a whole: starts executions, follows them and keeps their history."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

from sandbox.d365.dmf.actions import ENTITY_SET, PackageActions
from sandbox.d365.dmf.control import PackageRoutes
from sandbox.d365.dmf.entities import package_entities
from sandbox.d365.dmf.executions import (
    CANCELED,
    EXECUTING,
    FAILED,
    NOT_RUN,
    ActionRefused,
    Crash,
    Execution,
)
from sandbox.d365.dmf.exports import read_template, run_export
from sandbox.d365.dmf.framework import Framework
from sandbox.d365.dmf.imports import run_import, table_file
from sandbox.d365.dmf.projects import Projects
from sandbox.d365.dmf.settings import PackageFault, PackageSettings
from sandbox.d365.dmf.storage import PackageStorage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.routing import Route

    from sandbox.d365.environment import Environment
    from sandbox.d365.service import Action


class Packages:
    """`stop` ends what runs; an error of the stand-in itself, not of a package, is raised there."""

    def __init__(self, environment: Environment) -> None:
        entities = package_entities(environment.model)
        self.settings = PackageSettings()
        self.framework = Framework(
            environment,
            self.settings,
            PackageStorage(self.settings),
            entities,
            Projects(entities),
        )
        self.executions: dict[str, Execution] = {}
        self.faults: list[PackageFault] = []
        self.counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._broken: list[BaseException] = []

    def connect(self, connection_string: str) -> None:
        """The storage account for packages and error files."""
        self.framework.storage.connect(connection_string)

    def actions(self) -> dict[tuple[str, str], Action]:
        """For `DataService.actions`; `prepare` is to be awaited before one."""
        return PackageActions(self).table()

    def routes(self) -> list[Route]:
        return PackageRoutes(self).routes()

    async def prepare(self, path: str) -> None:
        """Makes the container that an action below `/data/` may need."""
        if path.startswith(ENTITY_SET):
            await self.framework.storage.prepare()

    async def reset(self) -> None:
        """Forgets executions, projects, faults and settings."""
        await self._end_tasks()
        self.executions.clear()
        self.faults.clear()
        self.counts.clear()
        self.framework.projects.clear()
        vars(self.settings).update(vars(PackageSettings()))

    async def stop(self) -> None:
        await self._end_tasks()
        self.framework.storage.close()
        if self._broken:
            raise self._broken[0]

    def start_import(
        self, execution: Execution, url: str, *, overwrite: bool, execute: bool
    ) -> Execution:
        """Raises ActionRefused: an id that was used, or another import that runs (F&O contract 6.1)."""
        self._refuse_used(execution)
        running = next((e for e in self.executions.values() if e.obstructs), None)
        busy = self._fault("busy", execution)
        if running is not None or busy is not None:
            self.counts["refused_parallel"] += 1
            name = running.execution_id if running else "of another user"
            raise ActionRefused(
                f"Another import is running (execution {name}). ImportFromPackage must not be called"
                " in parallel."
            )
        self.counts["imports"] += 1

        async def work() -> None:
            await run_import(self.framework, execution, url, overwrite=overwrite, execute=execute)

        return self._begin(execution, work)

    def start_export(
        self, execution: Execution, package_name: str, *, again: bool = False, most: int = 0
    ) -> Execution:
        """`again`: the package of an earlier execution once more. Raises ActionRefused."""
        known = self.executions.get(execution.execution_id.lower())
        if again and known is not None and known.package:
            self.counts["exports_again"] += 1
            return self._begin(known, _nothing)
        if again and (known is None or known.running):
            what = "is still in progress" if known else "does not exist"
            raise ActionRefused(f"The execution {execution.execution_id} {what}.")
        if not again:
            self._refuse_used(execution)
        project = self.framework.projects.find(execution.project)
        if project is None:
            raise ActionRefused(f"The data project '{execution.project}' does not exist.")
        self.counts["exports"] += 1

        async def work() -> None:
            await run_export(self.framework, execution, project, package_name, most or None)

        return self._begin(execution, work)

    def start_template_export(self, execution: Execution, url: str) -> Execution:
        """Exports what the manifest of a package describes; raises ActionRefused."""
        self._refuse_used(execution)
        self.counts["exports"] += 1

        async def work() -> None:
            project = await read_template(self.framework, execution, url)
            await run_export(self.framework, execution, project, "")

        return self._begin(execution, work)

    def make_keys_file(self, execution: Execution, label: str) -> bool:
        """Starts writing the keys of the rows that the target refused; False where there are none."""
        run = execution.entity(label)
        if execution.running or run is None or not run.target_keys:
            return False
        if run.label in execution.keys_polls:
            return True
        fault = execution.faults.get("error-file")
        more = fault.polls if fault else self.settings.error_file_polls
        execution.keys_polls[run.label] = more
        name = f"{execution.execution_id}/{run.label} error keys.csv"
        body = table_file(run.target_keys, self.framework)

        async def write() -> None:
            await self.framework.storage.write(name, body)
            run.keys_file = name

        if "no-error-file" not in execution.faults:
            self._task(write())
        return True

    def cancel(self, execution_id: str) -> None:
        """As a clerk does; raises KeyError for an unknown id."""
        execution = self.executions[execution_id.lower()]
        if execution.running:
            execution.status = CANCELED
            execution.canceled.set()

    def to_json(self) -> dict[str, Any]:
        return {
            "counts": dict(self.counts),
            "executions": [each.to_json() for each in self.executions.values()],
            "projects": self.framework.projects.to_json(),
            "faults": [vars(fault) for fault in self.faults],
        }

    def _refuse_used(self, execution: Execution) -> None:
        if execution.execution_id.lower() in self.executions:
            self.counts["refused_reuse"] += 1
            raise ActionRefused(
                f"The execution id '{execution.execution_id}' already exists: history key collision."
            )

    def _fault(self, kind: str, execution: Execution) -> PackageFault | None:
        return next(
            (
                fault
                for fault in self.faults
                if fault.kind == kind and fault.applies(execution.operation, execution.project)
            ),
            None,
        )

    def _begin(self, execution: Execution, work: Callable[[], Awaitable[None]]) -> Execution:
        kinds = dict.fromkeys(fault.kind for fault in self.faults if fault.kind != "busy")
        found = {kind: self._fault(kind, execution) for kind in kinds}
        execution.faults = {kind: fault for kind, fault in found.items() if fault is not None}
        execution.polls = {kind: fault.polls for kind, fault in execution.faults.items()}
        fault = execution.faults.get("export-url")
        execution.url_polls = fault.polls if fault else self.settings.export_url_polls
        execution.status = NOT_RUN
        self.executions[execution.execution_id.lower()] = execution
        self._task(self._run(execution, work))
        return execution

    async def _run(self, execution: Execution, work: Callable[[], Awaitable[None]]) -> None:
        slow = execution.faults.get("slow")
        duration = self.settings.run_delay + (slow.seconds if slow else 0)
        if await execution.canceled_within(self.settings.start_delay):
            return
        execution.status = EXECUTING
        if await execution.canceled_within(duration) or "stuck" in execution.faults:
            return
        status = FAILED
        try:
            await work()
            status = execution.outcome()
        except Crash as crash:
            execution.trouble = str(crash)
        finally:
            if not execution.canceled.is_set():
                execution.status = status

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._broken.append(error)

    async def _end_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _nothing() -> None:
    """The package is there already."""
