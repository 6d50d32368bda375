"""The `/sandbox/…` routes of the F&O stand-in beyond those of `sandbox.web`.

GET  /sandbox/state                 {set: number of rows}
GET  /sandbox/state/{Set}           rows of all companies; takes $filter, $select, $top, $skip, …
POST /sandbox/state/{Set}           one row or a list, written past validation
PATCH /sandbox/state/{Set}          one row or a list: the key and the changed fields, validated as what
                                    a clerk types
DELETE /sandbox/state/{Set}         empties the set
POST /sandbox/reset                 back to the seed data, all switches off
GET|PUT /sandbox/settings           see `environment.Settings`
GET|PUT /sandbox/model              what OData shows of the model, see `publishing`
GET|PUT /sandbox/throttle           see `throttle`
GET|PUT /sandbox/late-commit        see `late_commit`
/sandbox/packages…                  see `dmf.control`
GET|PUT /sandbox/update-conflicts   {"CustomersV3": 2}: the next two updates end in a conflict;
                                    for SalesOrderLinesV3 also creates, which lock the header
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.d365.errors import ODataError
from sandbox.d365.model import COMPANY
from sandbox.d365.queries import read_many
from sandbox.d365.seed import load_seed, upsert
from sandbox.d365.urls import parse_options
from sandbox.d365.writes import update

if TYPE_CHECKING:
    from sandbox.d365.dmf import Packages
    from sandbox.d365.environment import Environment
    from sandbox.d365.event_delivery import EventDelivery
    from sandbox.d365.late_commit import LateCommit
    from sandbox.d365.model import Entity
    from sandbox.d365.throttle import Throttle

CLERK = "clerk"  # who changes rows through `/sandbox/state`
Endpoint = Callable[[Request], Awaitable[Response]]


class SandboxRoutes:
    def __init__(
        self,
        environment: Environment,
        throttle: Throttle,
        late_commit: LateCommit,
        delivery: EventDelivery,
        packages: Packages,
    ) -> None:
        self._environment = environment
        self._packages = packages
        self._throttle = throttle
        self._late_commit = late_commit
        self._delivery = delivery

    def routes(self) -> list[Route]:
        table: list[tuple[str, Endpoint, list[str]]] = [
            ("/sandbox/state", self._counts, ["GET"]),
            ("/sandbox/state/{set_name}", self._state, ["GET", "POST", "PATCH", "DELETE"]),
            ("/sandbox/reset", self._reset, ["POST"]),
            ("/sandbox/settings", self._settings, ["GET", "PUT"]),
            ("/sandbox/model", self._model, ["GET", "PUT"]),
            ("/sandbox/throttle", self._set_throttle, ["GET", "PUT"]),
            ("/sandbox/late-commit", self._set_late_commit, ["GET", "PUT"]),
            ("/sandbox/update-conflicts", self._conflicts, ["GET", "PUT"]),
        ]
        return [Route(path, refusing(work), methods=methods) for path, work, methods in table]

    async def _counts(self, request: Request) -> Response:
        tables = self._environment.store.tables
        return JSONResponse({name: len(table.rows) for name, table in tables.items()})

    async def _state(self, request: Request) -> Response:
        environment = self._environment
        set_name = request.path_params["set_name"]
        entity = environment.model.entities.get(set_name)
        if entity is None:
            return JSONResponse({"error": f"no entity set {set_name}"}, status_code=404)
        if request.method in ("POST", "PATCH"):
            given = await request.json()
            rows = given if isinstance(given, list) else [given]
            with environment.acting(CLERK), environment.store.transaction():
                for row in rows:
                    if request.method == "POST":
                        upsert(environment, set_name, row)
                    else:
                        self._change(entity, row)
            return JSONResponse({"written": len(rows)})
        if request.method == "DELETE":
            table = environment.store.table(entity)
            for key in list(table.rows):
                environment.store.delete(table, key)
            return JSONResponse({"rows": 0})
        options = {**parse_options(request.url.query), "cross-company": "true"}
        settings = environment.settings
        everything = max(settings.page_size, len(environment.store.table(entity).rows))
        environment.settings = replace(settings, page_size=everything, filter_node_limit=0)
        try:
            company = environment.default_company
            answer = read_many(environment, entity, options, company=company, base_url="")
        finally:
            environment.settings = settings
        return JSONResponse(answer["value"])

    def _change(self, entity: Entity, row: dict[str, Any]) -> None:
        given = {COMPANY: self._environment.default_company, **row} if entity.per_company else row
        table = self._environment.store.table(entity)
        key = table.key_of(given)
        if entity.read_only and key in table.rows:  # read-only for OData, not for a clerk
            upsert(self._environment, entity.set_name, {**table.rows[key].values, **given})
            return
        changes = {name: value for name, value in row.items() if name not in entity.key}
        update(self._environment, entity, key, changes, None)

    async def _reset(self, request: Request) -> Response:
        await self._late_commit.drop()
        self._throttle.configure({})
        self._delivery.reset()
        await self._packages.reset()
        self._environment.clear()
        load_seed(self._environment)
        return JSONResponse({})

    async def _settings(self, request: Request) -> Response:
        if request.method == "PUT":
            self._environment.settings.update(await request.json())
        return JSONResponse(asdict(self._environment.settings))

    async def _model(self, request: Request) -> Response:
        if request.method == "PUT":
            self._environment.publish(await request.json())
        return JSONResponse(self._environment.changes)

    async def _set_throttle(self, request: Request) -> Response:
        if request.method == "PUT":
            self._throttle.configure(await request.json())
        return JSONResponse(self._throttle.to_json())

    async def _set_late_commit(self, request: Request) -> Response:
        if request.method == "PUT":
            self._late_commit.configure(await request.json())
        return JSONResponse(self._late_commit.to_json())

    async def _conflicts(self, request: Request) -> Response:
        pending = self._environment.pending_conflicts
        if request.method == "PUT":
            pending.update({str(name): int(n) for name, n in (await request.json()).items()})
        return JSONResponse(pending)


def refusing(endpoint: Endpoint) -> Endpoint:
    """Mistakes of the caller become 400 with their reason."""

    async def serve(request: Request) -> Response:
        try:
            return await endpoint(request)
        except ODataError as error:
            return JSONResponse(error.body, status_code=error.status)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)

    return serve
