"""One OData operation in, one reply out: the router behind `/data`, used alone and inside `$batch`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from sandbox.d365 import writes
from sandbox.d365.errors import (
    ODataError,
    bad_query,
    bad_request,
    invocation_failed,
    no_route,
    not_found,
    several_to_update,
)
from sandbox.d365.messages import Operation, Reply, Session, error_reply, json_reply
from sandbox.d365.model import COMPANY, Entity
from sandbox.d365.queries import context, projection, read_many, related, rows_of
from sandbox.d365.urls import (
    Address,
    is_cross_company,
    key_text,
    parse_address,
    parse_key,
    parse_options,
)
from sandbox.d365.values import normal

if TYPE_CHECKING:
    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Key, Row

# Called with the parameters of the body; returns the member after `@odata.context`
Action = Callable[[Session, dict[str, Any]], Any]


class DataService:
    """`actions`: (entity set, action name) → function; other parts of the stand-in register theirs."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.actions: dict[tuple[str, str], Action] = {}

    def execute(self, operation: Operation, session: Session) -> Reply:
        """Serves one operation; refusals become replies and leave nothing written."""
        try:
            return self.perform(operation, session)
        except ODataError as error:
            return error_reply(error)

    def perform(self, operation: Operation, session: Session) -> Reply:
        """As `execute`, but raises `ODataError`, so that a changeset can roll back."""
        address = parse_address(operation.path)
        url = f"{session.base_url}/data/{operation.path}"
        if address is None:
            raise no_route(url)
        action = self._action(address)
        if action is not None:
            return self._run(action, address, operation, session)
        entity = self.environment.published.entities.get(address.set_name)
        if entity is None or not entity.public:
            raise no_route(url)
        options = parse_options(operation.query)
        with self.environment.store.transaction():
            if address.key is None:
                return self._collection(entity, address, operation, options, session, url)
            values = parse_key(entity, address.key)
            if values is None:
                raise no_route(url)
            key = self._visible(entity, values, options, session)
            return self._single(entity, key, address, operation, options, session, url)

    def _collection(
        self,
        entity: Entity,
        address: Address,
        operation: Operation,
        options: dict[str, str],
        session: Session,
        url: str,
    ) -> Reply:
        if operation.method == "GET" and address.rest == ("$count",):
            company = None if is_cross_company(options) else session.company
            count = len(rows_of(self.environment, entity, options, company))
            return Reply(200, str(count).encode(), {"content-type": "text/plain"})
        if address.rest:
            raise no_route(url)
        if operation.method == "GET":
            limit = _page_limit(operation.headers.get("prefer", ""))
            body = read_many(
                self.environment,
                entity,
                options,
                company=session.company,
                base_url=session.base_url,
                page_limit=limit,
            )
            applied = {"preference-applied": f"odata.maxpagesize={limit}"} if limit else {}
            return json_reply(200, body, applied)
        if operation.method == "POST":
            row = writes.create(self.environment, entity, _body(operation), session.company)
            location = f"{session.base_url}/data/{entity.set_name}{key_text(entity, row)}"
            return json_reply(201, self._one(entity, row, options, session), {"location": location})
        if operation.method in ("PATCH", "PUT", "DELETE"):
            raise several_to_update()
        raise bad_request(f"The method {operation.method} is not supported.", 405)

    def _single(
        self,
        entity: Entity,
        key: Key | None,
        address: Address,
        operation: Operation,
        options: dict[str, str],
        session: Session,
        url: str,
    ) -> Reply:
        environment, if_match = self.environment, operation.headers.get("if-match")
        if operation.method == "GET":
            row = environment.store.table(entity).rows.get(key) if key else None
            if row is None:
                raise not_found()
            if address.rest:
                return self._part(entity, row, address, session, url)
            return json_reply(200, self._one(entity, row, options, session))
        if address.rest:
            raise no_route(url)
        if operation.method in ("PATCH", "PUT", "MERGE"):
            writes.update(environment, entity, key, _body(operation), if_match)
            return Reply(204)
        if operation.method == "DELETE":
            writes.delete(environment, entity, key, if_match)
            return Reply(204)
        raise bad_request(f"The method {operation.method} is not supported.", 405)

    def _part(
        self, entity: Entity, row: Row, address: Address, session: Session, url: str
    ) -> Reply:
        """`Set(key)/Property` and `Set(key)/Navigation`."""
        name = address.rest[0]
        if len(address.rest) > 1:
            raise no_route(url)
        if name in entity.properties:
            where = (
                f"{session.base_url}/data/$metadata#{entity.set_name}{key_text(entity, row)}/{name}"
            )
            value = row.values.get(name, entity.defaults[name])
            return json_reply(200, {"@odata.context": where, "value": value})
        navigation = entity.navigations.get(name)
        if navigation is None:
            raise no_route(url)
        target = self.environment.model.entities[navigation.target_set]
        project = projection(self.environment, target, {})
        rows = related(entity, navigation, row, self.environment.store.table(target))
        where = context(session.base_url, target, {}, single=not navigation.many)
        if navigation.many:
            found = [project(other) for other in rows]
            return json_reply(200, {"@odata.context": where, "value": found})
        if not rows:
            return Reply(204)
        return json_reply(200, {"@odata.context": where, **project(rows[0])})

    def _one(
        self, entity: Entity, row: Row, options: dict[str, str], session: Session
    ) -> dict[str, Any]:
        where = context(session.base_url, entity, options, single=True)
        return {"@odata.context": where, **projection(self.environment, entity, options)(row)}

    def _visible(
        self,
        entity: Entity,
        values: tuple[Any, ...],
        options: dict[str, str],
        session: Session,
    ) -> Key | None:
        """The table key, or None when the row's company is out of reach (contract 2.3)."""
        key = tuple(normal(value) for value in values)
        if entity.key[0] != COMPANY or is_cross_company(options) or key[0] == session.company:
            return key
        return None

    def _action(self, address: Address) -> Action | None:
        if not address.rest:
            return None
        name = address.rest[-1].rpartition(".")[2]
        return self.actions.get((address.set_name, name))

    def _run(
        self, action: Action, address: Address, operation: Operation, session: Session
    ) -> Reply:
        if operation.method != "POST":
            raise bad_request("Actions are called with POST.", 405)
        parameters = _body(operation) if operation.body.strip() else {}
        value = action(session, parameters)
        if value is None:
            return Reply(204)
        kind = "Boolean" if isinstance(value, bool) else "String"
        where = f"{session.base_url}/data/$metadata#Edm.{kind}"
        return json_reply(200, {"@odata.context": where, "value": value})


def operation_name(method: str, path: str) -> str:
    """Names a call for the counters: `GET data/CustomersV3`, keys left out."""
    decoded = unquote(path).strip("/")
    set_name, _, rest = decoded.partition("(")
    tail = rest.rpartition(")")[2] if rest else ""
    return f"{method} data/{set_name}{tail}".rstrip("/")


def _body(operation: Operation) -> dict[str, Any]:
    try:
        body = json.loads(operation.body)
    except ValueError as error:
        raise invocation_failed(f"The body is no valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise bad_query("The body must be a JSON object.")
    return body


def _page_limit(prefer: str) -> int | None:
    """`Prefer: odata.maxpagesize=n`; whether F&O honours it is UNVERIFIED (contract 2.4)."""
    for item in prefer.split(","):
        name, _, value = item.strip().partition("=")
        if name in ("odata.maxpagesize", "maxpagesize") and value.isdigit() and int(value) > 0:
            return int(value)
    return None
