"""`/sandbox/…` of the Salesforce stand-in: data, rules, limits and delivery, for tests and people.

    GET|POST          /sandbox/state/{Object}        rows (filter by any field) | insert, returns ids
    PATCH|DELETE      /sandbox/state/{Object}/{Id}
    POST              /sandbox/state/{Object}/{Id}/undelete
    POST              /sandbox/state/{Object}/{Id}/merge   {"merged": ["001…"], …fields of the master}
    POST              /sandbox/reset                 first rows again; sessions and subscriptions stay
    POST              /sandbox/sessions/expire
    POST              /sandbox/locators/expire
    GET|PUT           /sandbox/quota                 {"max": 15000, "used": 0}
    GET|PUT           /sandbox/features              {"state_country_picklists": true}
    GET|PUT           /sandbox/schema                hidden or other fields, see schema_changes
    GET|PUT           /sandbox/validation-rules      [{"object","field","regex","message"}]
    GET|PUT           /sandbox/duplicate-rules       [{"object","fields":[…],"rule","allow_save"}]
    GET|PUT           /sandbox/subscriptions         see subscriptions.Subscription
    GET|PUT           /sandbox/delivery              see subscriptions.Rules
    GET               /sandbox/deliveries            counts of pending, acked, failed, …
    GET|PUT           /sandbox/pubsub                pubsub.rules.Rules
    POST              /sandbox/pubsub/expire         every stored position is too old
    GET|PUT           /sandbox/bulk                  bulk.rules.Rules, and {"batches", "query_jobs"}
    GET|POST|DELETE   /sandbox/bulk/faults           see bulk.rules; DELETE also lets stuck jobs go on
    GET               /sandbox/bulk/jobs             all jobs, without a session
    POST              /sandbox/bulk/seed             {"accounts": n, "products": n, …}, see bulk.seeding

Rows are written as the clerk, a person in Salesforce, so they set off subscriptions; `?events=false`
keeps a write quiet. Faults, latency and call counts are served by `sandbox.web`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.salesforce import ids
from sandbox.salesforce.bulk.seeding import seed
from sandbox.salesforce.changes import Actor
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.merging import merge, undelete
from sandbox.salesforce.org_rules import DuplicateRule, ValidationRule

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from sandbox.salesforce.api import Api
    from sandbox.salesforce.bulk import Bulk
    from sandbox.salesforce.outbound import Outbound
    from sandbox.salesforce.pubsub.server import PubSubServer
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.store import Row


class SandboxRoutes:
    def __init__(self, api: Api, outbound: Outbound, bulk: Bulk, pubsub: PubSubServer) -> None:
        self.api = api
        self.bulk = bulk
        self.org = api.org
        self.outbound = outbound
        self.pubsub = pubsub

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
            ("GET", "state/{object}", self.rows),
            ("POST", "state/{object}", self.insert),
            ("PATCH", "state/{object}/{id}", self.update),
            ("DELETE", "state/{object}/{id}", self.delete),
            ("POST", "state/{object}/{id}/undelete", self.undelete),
            ("POST", "state/{object}/{id}/merge", self.merge),
            ("POST", "reset", self.reset),
            ("POST", "sessions/expire", self.expire_sessions),
            ("POST", "pubsub/expire", self.expire_positions),
            ("POST", "locators/expire", self.expire_locators),
            ("GET", "bulk/faults", self.bulk_faults),
            ("POST", "bulk/faults", self.add_bulk_faults),
            ("DELETE", "bulk/faults", self.clear_bulk_faults),
            ("GET", "bulk/jobs", self.bulk_jobs),
            ("POST", "bulk/seed", self.seed),
        ]
        settings: list[tuple[str, Callable[[], Any], Callable[[Any], Any]]] = [
            ("quota", lambda: asdict(self.api.quota), self.set_quota),
            ("features", self.features, self.set_features),
            ("schema", lambda: self.org.schema_changes, self.org.set_schema_changes),
            ("validation-rules", self.validation_rules, self.set_validation_rules),
            ("duplicate-rules", self.duplicate_rules, self.set_duplicate_rules),
            ("bulk", self.bulk.settings, self.bulk.set_settings),
            ("pubsub", lambda: asdict(self.pubsub.bus.rules), self.pubsub.bus.set_rules),
            ("delivery", lambda: asdict(self.outbound.rules), self.outbound.set_rules),
        ]
        found = [
            Route(f"/sandbox/{path}", _answering(handler), methods=[method])
            for method, path, handler in table
        ]
        for path, get, put in settings:
            handler = _answering(_setting(get, put))
            found.append(Route(f"/sandbox/{path}", handler, methods=["GET", "PUT"]))
        found.append(
            Route("/sandbox/subscriptions", _answering(self.subscriptions), methods=["GET", "PUT"])
        )
        found.append(Route("/sandbox/deliveries", _answering(self.deliveries), methods=["GET"]))
        return found

    # --- rows -------------------------------------------------------------------------------------

    async def rows(self, request: Request) -> list[Row]:
        obj = self._object(request)
        table = self.org.store.tables[obj.name]
        filters = {name: value for name, value in request.query_params.items() if obj.find(name)}
        names = {name: obj.find(name) for name in filters}
        if "Id" in filters:
            found = [row for row in [table.rows.get(ids.normalise(filters["Id"]) or "")] if row]
        else:
            found = list(table.rows.values())
        plain = [field.name for field in obj.fields.values() if field.type != "address"]
        return [
            {name: row.get(name) for name in plain}
            for row in found
            if all(
                str(row.get(field.name, "")) == filters[name]
                for name, field in names.items()
                if field is not None and field.name != "Id"
            )
        ]

    async def insert(self, request: Request) -> dict[str, list[str]]:
        """All rows or none."""
        obj, body = self._object(request), await request.json()
        rows = body if isinstance(body, list) else [body]
        return {
            "ids": self._write(request, lambda who: [self.org.insert(who, obj, r) for r in rows])
        }

    async def update(self, request: Request) -> dict[str, list[str]]:
        obj, body = self._object(request), await request.json()
        key = request.path_params["id"]
        return {"ids": self._write(request, lambda who: [self.org.update(who, obj, key, body)])}

    async def delete(self, request: Request) -> dict[str, list[str]]:
        obj, key = self._object(request), request.path_params["id"]
        return {"ids": self._write(request, lambda who: [self.org.delete(who, obj, key)])}

    async def undelete(self, request: Request) -> dict[str, list[str]]:
        obj, key = self._object(request), request.path_params["id"]
        return {"ids": self._write(request, lambda who: [undelete(self.org, who, obj, key)])}

    async def merge(self, request: Request) -> dict[str, list[str]]:
        obj, body = self._object(request), await request.json()
        key, merged = request.path_params["id"], body.pop("merged")
        return {
            "ids": self._write(request, lambda who: merge(self.org, who, obj, key, merged, body))
        }

    def _write(self, request: Request, write: Callable[[Actor], list[str]]) -> list[str]:
        mark = self.org.mark()
        try:
            found = write(Actor(self.org.users.clerk, allow_save=True))
        except ApiError:
            self.org.rollback(mark)
            raise
        self.org.commit(announce=request.query_params.get("events", "true") != "false")
        return found

    def _object(self, request: Request) -> ObjectType:
        return self.org.schema.get(unquote(request.path_params["object"]))

    # --- switches ---------------------------------------------------------------------------------

    async def reset(self, _: Request) -> dict[str, Any]:
        await self.bulk.reset()
        self.org.reset()
        self.outbound.reset()
        self.pubsub.bus.reset()
        self.api.quota.used = 0
        self.api.locators.expire()
        control = self.api.control
        control.faults.clear()
        control.calls.clear()
        control.per_call_ms = control.per_operation_ms = 0.0
        return {}

    async def expire_sessions(self, _: Request) -> dict[str, Any]:
        self.api.authority.sessions.clear()
        return {}

    async def expire_positions(self, _: Request) -> dict[str, Any]:
        self.pubsub.bus.expire()
        return {}

    async def expire_locators(self, _: Request) -> dict[str, Any]:
        self.api.locators.expire()
        return {}

    async def bulk_faults(self, _: Request) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self.bulk.faults.waiting]

    async def add_bulk_faults(self, request: Request) -> list[dict[str, Any]]:
        given = await request.json()
        for fault in given if isinstance(given, list) else [given]:
            self.bulk.faults.add(fault)
        return await self.bulk_faults(request)

    async def clear_bulk_faults(self, _: Request) -> list[dict[str, Any]]:
        self.bulk.faults.waiting.clear()
        self.bulk.release()
        return []

    async def bulk_jobs(self, _: Request) -> list[dict[str, Any]]:
        return [job.info() for job in self.bulk.jobs.values()]

    async def seed(self, request: Request) -> dict[str, int]:
        return await seed(self.org, **await request.json())

    def set_quota(self, given: dict[str, int]) -> None:
        quota = self.api.quota
        quota.max, quota.used = given.get("max", quota.max), given.get("used", quota.used)

    def features(self) -> dict[str, bool]:
        return {"state_country_picklists": self.org.schema.state_country}

    def set_features(self, given: dict[str, bool]) -> None:
        self.org.set_state_country(given["state_country_picklists"])

    def validation_rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self.org.validation_rules]

    def set_validation_rules(self, given: list[dict[str, Any]]) -> None:
        self.org.validation_rules = [ValidationRule(**rule) for rule in given]

    def duplicate_rules(self) -> list[dict[str, Any]]:
        return [asdict(rule) for rule in self.org.duplicate_rules]

    def set_duplicate_rules(self, given: list[dict[str, Any]]) -> None:
        self.org.duplicate_rules = [DuplicateRule.from_json(rule) for rule in given]

    async def subscriptions(self, request: Request) -> list[dict[str, Any]]:
        if request.method == "PUT":
            await self.outbound.subscribe(await request.json())
        return self.outbound.subscriptions

    async def deliveries(self, _: Request) -> dict[str, Any]:
        return self.outbound.state()


def _setting(
    get: Callable[[], Any], put: Callable[[Any], Any]
) -> Callable[[Request], Awaitable[Any]]:
    async def handler(request: Request) -> Any:
        if request.method == "PUT":
            put(await request.json())
        return get()

    return handler


def _answering(
    handler: Callable[[Request], Awaitable[Any]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await handler(request))
        except ApiError as error:
            return JSONResponse(error.body(), error.status)
        except (KeyError, TypeError, ValueError) as error:
            return JSONResponse([{"errorCode": "INVALID_INPUT", "message": str(error)}], 400)

    return endpoint
