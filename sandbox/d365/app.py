"""The F&O stand-in: one environment served over HTTP, with Entra tokens checked on every call."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from sandbox.d365.auth import Authenticator, Unauthorized
from sandbox.d365.batch import BatchRunner, operation_count
from sandbox.d365.control import SandboxRoutes
from sandbox.d365.custom_services import CustomServices
from sandbox.d365.data_events import DataEvents
from sandbox.d365.dmf import Packages
from sandbox.d365.environment import DEFAULT_COMPANIES, Company, Environment
from sandbox.d365.errors import ODataError, bad_request, no_route
from sandbox.d365.event_delivery import EventDelivery
from sandbox.d365.http_replies import ConnectionCut, http_response
from sandbox.d365.late_commit import LateCommit
from sandbox.d365.messages import Operation, Reply, Session, error_reply, json_reply
from sandbox.d365.metadata import csdl, read_metadata, service_document
from sandbox.d365.multipart import BatchReply, parse_batch
from sandbox.d365.seed import load_seed
from sandbox.d365.service import Action, DataService, operation_name
from sandbox.d365.throttle import Throttle
from sandbox.d365.trade_control import TradeRoutes
from sandbox.d365.urls import parse_options
from sandbox.web import Control, Server, StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.requests import Request

    from sandbox.entra import EntraStandIn

CUSTOM_FIELDS: Mapping[str, Sequence[str]] = {
    "CustomersV3": ("SalesforceAccountId",),
    "ContactPersons": ("SalesforceContactId",),
    "SalesOrderHeadersV2": ("SalesforceOpportunityId",),
    "SalesOrderLinesV3": ("SalesforceLineId",),
}
VERSIONS = {"GetApplicationVersion": "10.0.40.1", "GetPlatformBuildVersion": "7.0.7120.12"}
METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


class D365StandIn:
    """`app` is the ASGI app, `control` its faults and counters, `environment` its rows and switches.

    `applications` maps client ids to the default company of their user; by default every application
    registered in `entra` at this moment works in the first company. Business events go to the namespace of
    `events_connection_string`, or of a later `set_events`; without one they are only counted.
    """

    def __init__(
        self,
        *,
        entra: EntraStandIn,
        port: int = 0,
        companies: Sequence[Company] = DEFAULT_COMPANIES,
        page_size: int = 10_000,
        custom_fields: Mapping[str, Sequence[str]] = CUSTOM_FIELDS,
        applications: Mapping[str, str] | None = None,
        events_connection_string: str | None = None,
    ) -> None:
        self.entra = entra
        self.control = Control()
        self.environment = Environment(companies, custom_fields=custom_fields, page_size=page_size)
        load_seed(self.environment)
        self.service = DataService(self.environment)
        self.services = CustomServices(self.environment)
        self.throttle = Throttle()
        self.late_commit = LateCommit()
        self.events = EventDelivery(events_connection_string)
        data_events = DataEvents(self.environment, self.events, entra.client_id)
        self.environment.on_commit = data_events.committed
        self.packages = Packages(self.environment)
        self.service.actions.update(self.packages.actions())
        mapped = applications or dict.fromkeys(entra.apps, self.environment.default_company)
        self.authenticator = Authenticator(entra, dict(mapped))
        self._batch = BatchRunner(self.service, self.control, self.throttle)
        self._port = port
        self._server: Server | None = None
        self._csdl: tuple[object, bytes] | None = None
        for action, version in VERSIONS.items():
            self.service.actions["DataManagementEntities", action] = _constant(version)
        control_routes = [
            *SandboxRoutes(
                self.environment, self.throttle, self.late_commit, self.events, self.packages
            ).routes(),
            *TradeRoutes(self.environment, self.events).routes(),
            *self.packages.routes(),
        ]
        self.app = StandIn(
            Starlette(
                routes=[
                    Route("/data", self._serve, methods=METHODS),
                    Route("/data/{path:path}", self._serve, methods=METHODS),
                    Route("/metadata/{path:path}", self._serve, methods=METHODS),
                    Route("/api/services", self._serve, methods=METHODS),
                    Route("/api/services/{path:path}", self._serve, methods=METHODS),
                    *control_routes,
                ]
            ),
            self.control,
        )

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the F&O stand-in is not started")
        return self._server.url

    @property
    def tenant_id(self) -> str:
        return self.entra.tenant_id

    @property
    def client_id(self) -> str:
        return self.entra.client_id

    @property
    def client_secret(self) -> str:
        return self.entra.client_secret

    async def start(self) -> None:
        self._server = Server(self.app, port=self._port)
        await self._server.start()
        await self.events.start()

    async def stop(self) -> None:
        await self.late_commit.drop()
        await self.events.stop()
        if self._server is not None:
            await self._server.stop()
        await self.packages.stop()

    def set_events(self, connection_string: str) -> None:
        """Where business events go from now on."""
        self.events.connection_string = connection_string

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _serve(self, request: Request) -> Response:
        started = time.perf_counter()
        base_url = f"{request.url.scheme}://{request.url.netloc}"
        own_url = self._server.url if self._server else None
        try:
            authorization = request.headers.get("authorization", "")
            session = self.authenticator.session(authorization, base_url, own_url)
        except Unauthorized:
            return Response(status_code=401, headers={"www-authenticate": "Bearer"})
        refusal = self.throttle.enter(session.user_id)
        if refusal is not None:
            return http_response(refusal, started)
        entered = self.throttle.now()
        try:
            reply = await self._reply(request, session)
        finally:
            self.throttle.leave(session.user_id, entered)
        return http_response(reply, started) if reply is not None else ConnectionCut()

    async def _reply(self, request: Request, session: Session) -> Reply | None:
        """None: the connection is to be cut."""
        path, body = request.scope["path"], await request.body()
        self.control.count(_call_name(request.method, path))
        try:
            work = await self._prepare(request, session, path, body)
        except ODataError as error:
            return error_reply(error)

        def acting() -> Reply:
            with self.environment.acting(session.client_id):
                return work()

        if self.late_commit.applies(request.method, path):
            self.late_commit.schedule(acting)
            return None
        return acting()

    async def _prepare(
        self, request: Request, session: Session, path: str, body: bytes
    ) -> Callable[[], Reply]:
        """What the call will do, as a function that runs in one piece."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        query, method = request.url.query, request.method
        area, _, rest = path.lstrip("/").partition("/")
        if area == "metadata":
            return lambda: _guarded(lambda: self._metadata(rest, query, session))
        if area == "api":
            inner = rest.partition("/")[2]
            return lambda: self.services.serve(method, inner, body, session)
        rest = rest.replace("%24", "$")
        if rest == "$batch":
            if method != "POST":
                raise bad_request("A batch is sent with POST.", 405)
            parts = parse_batch(headers.get("content-type", ""), body)
            await self.control.operations(operation_count(parts))
            return lambda: _batch_reply(self._batch.run(parts, session))
        if rest in ("", "$metadata"):
            if method != "GET":
                raise no_route(f"{session.base_url}{path}")
            return lambda: self._root(rest, session)
        await self.packages.prepare(rest)
        operation = Operation(method, rest, query, headers, body)
        return lambda: self.service.execute(operation, session)

    def _metadata(self, path: str, query: str, session: Session) -> Reply:
        options = parse_options(query)
        body = read_metadata(self.environment.published, path, options, session.base_url)
        return json_reply(200, body)

    def _root(self, rest: str, session: Session) -> Reply:
        if not rest:
            return json_reply(200, service_document(self.environment.published, session.base_url))
        model = self.environment.published
        if self._csdl is None or self._csdl[0] is not model:
            self._csdl = model, csdl(model).encode()
        return Reply(200, self._csdl[1], {"content-type": "application/xml"})


def _constant(value: str) -> Action:
    return lambda session, parameters: value


def _guarded(work: Callable[[], Reply]) -> Reply:
    try:
        return work()
    except ODataError as error:
        return error_reply(error)


def _batch_reply(answer: BatchReply) -> Reply:
    return Reply(200, answer.body(), {"content-type": answer.content_type})


def _call_name(method: str, path: str) -> str:
    """`POST data/CustomersV3`, `POST data/$batch`, `POST api/services/Group/Service/Operation`."""
    if path.startswith("/data/"):
        return operation_name(method, path.removeprefix("/data/"))
    return f"{method} {path.strip('/')}"
