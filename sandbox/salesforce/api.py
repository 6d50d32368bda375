"""Dispatch of `/services/data/vNN.0/…`: authentication, quota, routing, errors.

A resource is a plain function `(Api, Call) -> Answer`, so that a composite request runs its
sub-requests through the same table. Nothing awaits while a resource runs: a request is a transaction.
A `Stream` is a resource whose body or answer is too large to hold; it reads the request itself.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from starlette.responses import JSONResponse, Response

from sandbox.salesforce.call import Answer, Call, Quota
from sandbox.salesforce.changes import Actor
from sandbox.salesforce.errors import ApiError, SeveralMatches, not_found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from sandbox.salesforce.locators import Locators
    from sandbox.salesforce.oauth import Authority
    from sandbox.salesforce.org import Org
    from sandbox.web import Control, Fault

LOWEST_VERSION = 50
CURRENT_VERSION = "62.0"
LONGEST_URI = 16384


Resource = Callable[["Api", Call], Answer]


@dataclass(frozen=True)
class Stream:
    endpoint: Callable[[Call, Request], Awaitable[Response]]
    """May raise ApiError."""


class Api:
    def __init__(
        self, org: Org, control: Control, authority: Authority, locators: Locators
    ) -> None:
        self.org = org
        self.control = control
        self.authority = authority
        self.locators = locators
        self.quota = Quota()
        self.batches = Quota(max=15_000)
        """Internal batches of Bulk ingest jobs."""
        self.query_jobs = Quota(max=10_000)
        self._routes: list[tuple[str, list[str], Resource | Stream]] = []

    def route(self, pattern: str, resource: Resource | Stream) -> None:
        """`pattern` is `METHOD a/{b}/c`; a route that is added earlier wins."""
        method, _, path = pattern.partition(" ")
        self._routes.append((method, path.split("/"), resource))

    async def http(self, request: Request) -> Response:
        """The Starlette endpoint."""
        raw = request.scope["path"]
        if len(raw) + len(request.url.query) > LONGEST_URI:
            return JSONResponse([{"errorCode": "URI_TOO_LONG", "message": "URI too long"}], 414)
        version, _, rest = raw.removeprefix("/services/data/").partition("/")
        headers = dict(request.headers.items())
        user_id, refusal = self._authenticate(headers.get("authorization", ""))
        if refusal is None and self.quota.used >= self.quota.max:
            error = ApiError.plain("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
            refusal = self._respond(Answer(403, error.body()))
        if refusal is not None:
            return refusal
        self.quota.used += 1
        allow = "allowsave=true" in headers.get("sforce-duplicate-rule-header", "").lower()
        call = Call(
            method=request.method,
            version=version,
            segments=[unquote(part) for part in rest.split("/")],
            query=dict(parse_qsl(request.url.query, keep_blank_values=True)),
            headers=headers,
            body=None,
            actor=Actor(user_id, allow_save=allow, client=_client(headers)),
        )
        if call.method == "POST" and "_HttpMethod" in call.query:
            call = replace(call, method=call.query["_HttpMethod"].upper())
        resource, name = self._find(call)
        if isinstance(resource, Stream):
            self.control.count(name)
            return await self._stream(resource, call, request)
        try:
            call.body = await read_json(call, request)
        except ApiError as error:
            return self._respond(Answer(error.status, error.body()))
        self.control.count(name)
        if count := _operations(call):
            await self.control.operations(count)
        answer = self.run(call, resource)
        self.org.commit()
        if call.delay_ms:
            await asyncio.sleep(sum(call.delay_ms) / 1000)
        return self._respond(answer)

    def run(self, call: Call, resource: Resource | None = None) -> Answer:
        """Runs a call inside the current transaction; errors become answers."""
        mark = self.org.mark()
        found = resource or self._find(call)[0]
        if isinstance(found, Stream):  # a sub-request
            return Answer(404, not_found().body())
        try:
            return found(self, call)
        except ApiError as error:
            self.org.rollback(mark)
            return Answer(error.status, error.body())
        except SeveralMatches as several:
            self.org.rollback(mark)
            prefix = f"{call.base}/sobjects/{several.object_name}/"
            return Answer(300, [prefix + record_id for record_id in several.ids])

    async def _stream(self, stream: Stream, call: Call, request: Request) -> Response:
        try:
            response = await stream.endpoint(call, request)
        except ApiError as error:
            response = json_response(error.body(), error.status)
        response.headers["sforce-limit-info"] = self.quota.header
        return response

    def inner_fault(self, call: Call, method: str, path: str) -> Fault | None:
        """The fault set for one row of a Collections call or one composite sub-request."""
        fault = self.control.inner_fault(method, path)
        if fault and fault.latency_ms:
            call.delay_ms.append(fault.latency_ms)
        return fault if fault and (fault.status is not None or fault.body is not None) else None

    def _find(self, call: Call) -> tuple[Resource | Stream, str]:
        number = call.version.removeprefix("v").removesuffix(".0")
        if not number.isdigit() or int(number) < LOWEST_VERSION:
            return _refuse(not_found()), f"{call.method} {call.version}"
        method = "GET" if call.method == "HEAD" else call.method
        allowed = []
        for route_method, pattern, resource in self._routes:
            name = _match(pattern, call.segments)
            if name is None:
                continue
            if route_method == method:
                return resource, f"{method} {name}"
            allowed.append(route_method)
        if allowed:
            text = f"HTTP Method '{method}' not allowed. Allowed are {','.join(allowed)}"
            return _refuse(ApiError.plain("METHOD_NOT_ALLOWED", text, 405)), f"{method} (refused)"
        return _refuse(not_found()), f"{method} (unknown)"

    def _authenticate(self, authorization: str) -> tuple[str, Response | None]:
        scheme, _, token = authorization.partition(" ")
        if authorization and (scheme.lower() not in ("bearer", "oauth") or not token):
            error = ApiError.plain("INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", 401)
            return "", json_response(error.body(), 401)
        user_id = self.authority.user_of(token.strip()) if token else None
        if user_id is None:
            error = ApiError.plain("INVALID_SESSION_ID", "Session expired or invalid", 401)
            return "", json_response(error.body(), 401)
        return user_id, None

    def _respond(self, answer: Answer) -> Response:
        headers = {"sforce-limit-info": self.quota.header, **answer.headers}
        if answer.status in (204, 304):
            return Response(status_code=answer.status, headers=headers)
        return json_response(answer.body, answer.status, headers)


def _refuse(error: ApiError) -> Resource:
    def resource(_: Api, __: Call) -> Answer:
        raise error

    return resource


def _match(pattern: list[str], segments: list[str]) -> str | None:
    """The name under which the call is counted: objects and key fields by name, ids as `{id}`."""
    if len(pattern) != len(segments):
        return None
    for part, segment in zip(pattern, segments, strict=True):
        if not part.startswith("{") and part.lower() != segment.lower():
            return None
    return "/".join(
        segment if part in ("{object}", "{field}") else part
        for part, segment in zip(pattern, segments, strict=True)
    )


def _operations(call: Call) -> int:
    """How many rows or sub-requests the call carries."""
    body = call.body if isinstance(call.body, dict) else {}
    if call.segments == ["composite"]:
        subs = [sub for sub in body.get("compositeRequest") or [] if isinstance(sub, dict)]
        return sum(_rows(sub.get("body")) or 1 for sub in subs)
    if call.segments == ["composite", "batch"]:
        return len(body.get("batchRequests") or [])
    if call.segments[:2] == ["composite", "sobjects"]:
        return _rows(body) or len(call.query.get("ids", "").split(","))
    return 0


def _rows(body: Any) -> int:
    if not isinstance(body, dict):
        return 0
    rows = body.get("records") or body.get("ids")
    return len(rows) if isinstance(rows, list) else 0


async def read_json(call: Call, request: Request) -> Any:
    """The body of a request; raises ApiError when it is no JSON."""
    raw, headers = await request.body(), call.headers
    if not raw:
        return None
    encoding = headers.get("content-encoding", "").lower()
    if encoding == "gzip":
        raw = gzip.decompress(raw)
    elif encoding == "deflate":
        raw = zlib.decompress(raw)
    if "json" not in headers.get("content-type", "").lower():
        raise ApiError.plain("UNSUPPORTED_MEDIA_TYPE", "Content type is not JSON", 415)
    try:
        return json.loads(raw)
    except ValueError as exc:
        raise ApiError.plain("JSON_PARSER_ERROR", f"Unexpected character: {exc}") from exc


def json_response(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(
        content, status, {**(headers or {}), "content-type": "application/json;charset=UTF-8"}
    )


def _client(headers: Mapping[str, str]) -> str:
    """`Sforce-Call-Options: client=name, defaultNamespace=x`."""
    parts = (part.strip() for part in headers.get("sforce-call-options", "").split(","))
    return next((part[7:] for part in parts if part.lower().startswith("client=")), "")
