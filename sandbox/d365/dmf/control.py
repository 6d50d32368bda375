"""The `/sandbox/packages…` routes.

GET    /sandbox/packages            settings, counts (imports, exports, exports_again, refused_parallel,
                                    refused_reuse), executions, projects, faults
PUT    /sandbox/packages            settings, see `settings.PackageSettings`
GET    /sandbox/packages/faults     what is switched on; `fired` counts the hits
POST   /sandbox/packages/faults     one or a list, see `settings.PackageFault` and `settings.KINDS`:
                                    {"kind": "crash", "rows": 100, "operation": "import", "project": "^Acc"}
DELETE /sandbox/packages/faults     all off
POST   /sandbox/packages/projects   one or a list: {"name", "entity": label, "fields": ["ITEMNUMBER", …],
                                    "source_format", "changed_only": false}
POST   /sandbox/packages/cancel     {"execution_id"}: a clerk cancels what runs or is stuck
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.d365.control import Endpoint, refusing
from sandbox.d365.dmf.settings import PackageFault

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.d365.dmf.packages import Packages


class PackageRoutes:
    def __init__(self, packages: Packages) -> None:
        self._packages = packages

    def routes(self) -> list[Route]:
        table: list[tuple[str, Endpoint, list[str]]] = [
            ("/sandbox/packages", self._settings, ["GET", "PUT"]),
            ("/sandbox/packages/faults", self._faults, ["GET", "POST", "DELETE"]),
            ("/sandbox/packages/projects", self._projects, ["POST"]),
            ("/sandbox/packages/cancel", self._cancel, ["POST"]),
        ]
        return [Route(path, refusing(work), methods=methods) for path, work, methods in table]

    async def _settings(self, request: Request) -> Response:
        packages = self._packages
        if request.method == "PUT":
            packages.settings.update(await request.json())
        return JSONResponse({"settings": asdict(packages.settings), **packages.to_json()})

    async def _faults(self, request: Request) -> Response:
        faults = self._packages.faults
        if request.method == "DELETE":
            faults.clear()
        elif request.method == "POST":
            faults += [PackageFault.from_json(each) for each in await _several(request)]
        return JSONResponse([vars(fault) for fault in faults])

    async def _projects(self, request: Request) -> Response:
        projects = self._packages.framework.projects
        for each in await _several(request):
            given = dict(each)
            projects.define(given.pop("name"), given.pop("entity"), **given)
        return JSONResponse(projects.to_json())

    async def _cancel(self, request: Request) -> Response:
        self._packages.cancel(str((await request.json())["execution_id"]))
        return JSONResponse({})


async def _several(request: Request) -> list[dict[str, Any]]:
    given = await request.json()
    return given if isinstance(given, list) else [given]
