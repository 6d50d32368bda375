"""One way out to Salesforce: token, headers, time-out, repeats inside the deadline, translation.

Everything above asks for a path from the root and gets an `Answer`, a stream, or one of the app's errors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx

from integration.deadline import call_timeout
from integration.salesforce.budget import ApiBudget, read_budget
from integration.salesforce.errors import Effect, SessionExpired, answer_error, lost_answer
from integration.salesforce.repeats import NEEDED, CallRetries, attempts
from integration.salesforce.streams import StreamedAnswer

if TYPE_CHECKING:
    from integration.errors import IntegrationError
    from integration.salesforce.auth import Token, TokenSource
    from integration.settings import SalesforceSettings

OnCall = Callable[[str, int | None, float], None]
"""Told after every HTTP call: operation, status (None without an answer), seconds."""

OnBudget = Callable[[ApiBudget], None]
"""Told after every answer that names the daily allowance."""

BodyFactory = Callable[[], AsyncGenerator[bytes, None]]
"""Gives a body from its start each time it is called: a call may have to be sent again."""

CONNECT_TIMEOUT = 10.0  # seconds
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is parsed JSON (fractions as Decimal), text where something else came, None when empty."""

    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    path: str
    operation: str
    effect: Effect
    content: bytes | BodyFactory | None = field(repr=False)
    headers: Mapping[str, str]
    accept: Collection[int]
    streamed: bool = False


class Transport:
    """Holds no connection of its own: the caller owns `http`."""

    def __init__(
        self,
        settings: SalesforceSettings,
        http: httpx.AsyncClient,
        tokens: TokenSource,
        *,
        retries: CallRetries,
        on_call: OnCall | None = None,
        on_budget: OnBudget | None = None,
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._retries = retries
        self._on_call = on_call
        self._on_budget = on_budget
        self.budget: ApiBudget | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        effect: Effect,
        content: bytes | BodyFactory | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """`path` starts at the root of the instance, is encoded, and may hold a query string. `content`
        is JSON unless `headers` say otherwise. `accept` names statuses from 300 up that are answers and
        no errors.

        Raises DeadlineReached before a call that could not finish; otherwise what
        `errors.answer_error` and `errors.lost_answer` say, after the repeats that are safe. What a
        streamed `content` raises comes out as it is.
        """
        return await self._repeat(
            _Call(method, path, operation, effect, content, headers or {}, accept)
        )

    @asynccontextmanager
    async def stream(
        self, path: str, *, operation: str, media_type: str
    ) -> AsyncIterator[StreamedAnswer]:
        """GET whose answer is of this type and read as it comes. Errors as `request` until it begins; what
        fails after that is not repeated here, since the reader has had a part of it already."""
        headers = {"Accept": media_type}
        call = _Call("GET", path, operation, Effect.READ, None, headers, (), streamed=True)
        answer: StreamedAnswer = (await self._repeat(call)).body
        try:
            yield answer
        finally:
            await answer.close()

    async def _repeat(self, call: _Call) -> Answer:
        async for attempt in attempts(self._retries, call.operation, call.effect):
            with attempt:
                return await self._try(call)
        raise AssertionError("tenacity ends with a result or an error")

    async def _try(self, call: _Call) -> Answer:
        """One try; a refused session is renewed once, which is no repeat: nothing was executed."""
        token = await self._tokens.current()
        answer, error = await self._send(call, token)
        if isinstance(error, SessionExpired):
            self._tokens.invalidate(token)
            token = await self._tokens.current()
            answer, error = await self._send(call, token)
            if isinstance(error, SessionExpired):
                self._tokens.refuse(token, error)
        if error:
            raise error
        return answer

    async def _send(self, call: _Call, token: Token) -> tuple[Answer, IntegrationError | None]:
        limit = call_timeout(self._settings.call_timeout, needed=NEEDED[call.effect])
        started, status = time.perf_counter(), None
        try:
            # httpx bounds the gaps between bytes; the deadline bounds the whole call.
            async with asyncio.timeout(limit):
                response = await self._exchange(call, token, limit)
            status = response.status_code
        except (httpx.RequestError, TimeoutError) as error:
            sent = not isinstance(error, _NOTHING_SENT)
            cause = type(error).__name__
            raise lost_answer(
                cause, operation=call.operation, effect=call.effect, sent=sent
            ) from error
        finally:
            if self._on_call:
                self._on_call(call.operation, status, time.perf_counter() - started)
        self._note_budget(response.headers.get("sforce-limit-info"))
        answer = Answer(status, self._read(call, response), response.headers)
        return answer, self._judge(call, answer)

    def _note_budget(self, limit_info: str | None) -> None:
        budget = read_budget(limit_info)
        if budget is None:
            return
        self.budget = budget
        if self._on_budget:
            self._on_budget(budget)

    async def _exchange(self, call: _Call, token: Token, limit: float) -> httpx.Response:
        """The answer; of a streamed one that succeeded the body is still to be read."""
        if not callable(call.content):
            return await self._put_through(call, call.content, token, limit)
        async with aclosing(call.content()) as content:
            return await self._put_through(call, content, token, limit)

    async def _put_through(
        self, call: _Call, content: bytes | AsyncIterator[bytes] | None, token: Token, limit: float
    ) -> httpx.Response:
        request = self._http.build_request(
            call.method,
            token.instance_url + call.path,
            content=content,
            headers=self._headers(call, token),
            timeout=httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit)),
        )
        # Redirects are not followed: the token stays on this host.
        response = await self._http.send(request, stream=call.streamed, follow_redirects=False)
        if call.streamed and not _is_wanted(call, response):
            async with aclosing(response):
                await response.aread()
        return response

    def _read(self, call: _Call, response: httpx.Response) -> Any:
        if call.streamed and _is_wanted(call, response):
            return StreamedAnswer(response, call.operation, self._settings.call_timeout)
        return _body(response)

    def _judge(self, call: _Call, answer: Answer) -> IntegrationError | None:
        if answer.status >= 300:
            if answer.status in call.accept:
                return None
            return answer_error(
                answer.status,
                answer.body,
                answer.headers,
                operation=call.operation,
                effect=call.effect,
            )
        expected = isinstance(answer.body, StreamedAnswer) if call.streamed else True
        if isinstance(answer.body, str) or not expected:  # a maintenance or sign-in page with 200
            return lost_answer(
                f"HTTP {answer.status} with something else than was asked for",
                operation=call.operation,
                effect=call.effect,
                sent=True,
            )
        return None

    def _headers(self, call: _Call, token: Token) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {token.value}",
            # Names us in the changeOrigin of change events, so that our own echo is known.
            "Sforce-Call-Options": f"client={self._settings.client_name}",
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
        }
        if call.content is not None:
            headers["Content-Type"] = "application/json; charset=UTF-8"
        return {**headers, **call.headers}


def _is_wanted(call: _Call, response: httpx.Response) -> bool:
    wanted = call.headers["Accept"]
    return response.is_success and response.headers.get("content-type", wanted).startswith(wanted)


def _body(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        # Amounts must not lose a digit on the way through a float.
        return json.loads(response.content, parse_float=Decimal)
    except ValueError:  # also UnicodeDecodeError
        return response.text
