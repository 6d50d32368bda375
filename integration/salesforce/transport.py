"""One way out to Salesforce: token, headers, time-out, repeats inside the deadline, translation.

Everything above asks for a path from the root and gets an `Answer` or one of the app's errors.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx

from integration.deadline import call_timeout
from integration.salesforce.budget import ApiBudget, read_budget
from integration.salesforce.errors import Effect, SessionExpired, answer_error, lost_answer
from integration.salesforce.repeats import NEEDED, CallRetries, attempts

if TYPE_CHECKING:
    from integration.errors import IntegrationError
    from integration.salesforce.auth import Token, TokenSource
    from integration.settings import SalesforceSettings

OnCall = Callable[[str, int | None, float], None]
"""Told after every HTTP call: operation, status (None without an answer), seconds."""

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
    content: bytes | None = field(repr=False)
    headers: Mapping[str, str]
    accept: Collection[int]


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
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._retries = retries
        self._on_call = on_call
        self.budget: ApiBudget | None = None

    async def request(
        self,
        method: str,
        path: str,
        *,
        operation: str,
        effect: Effect,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
    ) -> Answer:
        """`path` starts at the root of the instance, is encoded, and may hold a query string. `accept`
        names statuses from 300 up that are answers and no errors.

        Raises DeadlineReached before a call that could not finish; otherwise what
        `errors.answer_error` and `errors.lost_answer` say, after the repeats that are safe.
        """
        call = _Call(method, path, operation, effect, content, headers or {}, accept)
        async for attempt in attempts(self._retries, operation, effect):
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
                response = await self._http.request(
                    call.method,
                    token.instance_url + call.path,
                    content=call.content,
                    headers=self._headers(call, token),
                    timeout=httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT, limit)),
                    follow_redirects=False,  # the token stays on this host
                )
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
        self.budget = read_budget(response.headers.get("sforce-limit-info")) or self.budget
        answer = Answer(status, _body(response), response.headers)
        return answer, self._judge(call, answer)

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
        if isinstance(answer.body, str):  # a maintenance or sign-in page with status 200
            return lost_answer(
                f"HTTP {answer.status} without JSON",
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
            **call.headers,
        }
        if call.content is not None:
            headers["Content-Type"] = "application/json; charset=UTF-8"
        return headers


def _body(response: httpx.Response) -> Any:
    if not response.content:
        return None
    try:
        # Amounts must not lose a digit on the way through a float.
        return json.loads(response.content, parse_float=Decimal)
    except ValueError:  # also UnicodeDecodeError
        return response.text
