"""One HTTP call to F&O: token, headers, concurrency, time-out, repeats, translation of failures.

Everything above deals in records. What may be repeated inside a call: reads after trouble, and anything
after 429, which F&O did not execute (F&O contract 4.2). A write with an unknown end is never repeated.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt
from tenacity.stop import stop_base
from tenacity.wait import wait_random

from integration.d365.errors import Call, translate
from integration.d365.values import json_loads
from integration.deadline import call_timeout, remaining
from integration.errors import (
    CallContext,
    ContractError,
    DeadlineReached,
    OutcomeUnknown,
    SystemTrouble,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from integration.d365.auth import TokenSource
    from integration.settings import D365Settings

OnCall = Callable[[str, int | None, float], None]  # operation, status (None: no answer), seconds

CONNECT_TIMEOUT = 10.0
READ_NEEDS = 1.0  # seconds that must be left before a call is begun
WRITE_NEEDS = 5.0
LONGEST_BACKOFF = 300.0  # F&O contract 10, point 10
JSON_HEADERS = {
    "Accept": "application/json",
    "OData-Version": "4.0",
    "OData-MaxVersion": "4.0",
}
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class Transport:
    """Shared by all callers of one process. `http` belongs to the caller, who also closes it."""

    def __init__(
        self,
        settings: D365Settings,
        http: httpx.AsyncClient,
        tokens: TokenSource,
        *,
        tries: int,
        delay: float,
        on_call: OnCall | None,
    ) -> None:
        self._settings = settings
        self._http = http
        self._tokens = tokens
        self._tries = tries
        self._delay = delay
        self._on_call = on_call
        self._slots = asyncio.Semaphore(settings.max_concurrent_calls)

    async def request(
        self,
        method: str,
        url: str,
        call: Call,
        *,
        content: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The successful answer. Raises the errors of `errors.translate`, DeadlineReached, Unreachable
        and OutcomeUnknown. Waits between tries end before the deadline or are not begun."""

        def repeatable(error: BaseException) -> bool:
            return isinstance(error, Throttled) or (
                call.safe_to_repeat and isinstance(error, Unreachable)
            )

        retrying = AsyncRetrying(
            retry=retry_if_exception(repeatable),
            stop=stop_after_attempt(self._tries) | _StopBeforeDeadline(_needs(call)),
            wait=self._wait,
            reraise=True,
        )
        async for attempt in retrying:
            with attempt:
                return await self._authorised(method, url, call, content, headers or {})
        raise AssertionError("tenacity ends with an answer or an error")

    async def json(self, method: str, url: str, call: Call, *, content: str | None = None) -> Any:
        """As `request`, with the answer's JSON; None for an empty body.

        A success that is not JSON came from something in between: Unreachable or OutcomeUnknown.
        """
        response = await self.request(method, url, call, content=content)
        if response.status_code == 204 or not response.content:
            return None
        try:
            return json_loads(response.content)
        except ContractError as error:
            kind = Unreachable if call.safe_to_repeat else OutcomeUnknown
            raise kind(
                f"{call.operation} was answered {response.status_code} without readable JSON",
                system="d365",
                context=context_of(response, call),
            ) from error

    def _wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        doubled = 2.0 ** (state.attempt_number - 1)
        if isinstance(error, SystemTrouble) and error.retry_after is not None:
            return error.retry_after
        first = self._settings.throttle_fallback if isinstance(error, Throttled) else self._delay
        base = min(first * doubled, LONGEST_BACKOFF)
        return base + wait_random(0, base / 4)(state)

    async def _authorised(
        self, method: str, url: str, call: Call, content: str | None, headers: Mapping[str, str]
    ) -> httpx.Response:
        token = await self._tokens.token()
        response = await self._send(method, url, call, content, headers, token)
        if response.status_code == 401:  # refused before execution: a write may be sent again
            token = await self._tokens.replace(token)
            response = await self._send(method, url, call, content, headers, token)
        if response.is_success:
            return response
        raise translate(
            response.status_code,
            response.content,
            response.headers,
            call,
            throttle_cap=self._settings.throttle_cap,
            request_id=response.request.headers.get("x-ms-client-request-id"),
        )

    async def _send(
        self,
        method: str,
        url: str,
        call: Call,
        content: str | None,
        headers: Mapping[str, str],
        token: str,
    ) -> httpx.Response:
        request_id = str(uuid4())
        await self._slot()
        try:
            seconds = call_timeout(self._settings.call_timeout, needed=_needs(call))
            request = self._http.build_request(
                method,
                url,
                content=content.encode() if content is not None else None,
                headers={
                    **JSON_HEADERS,
                    **({"Content-Type": "application/json"} if content is not None else {}),
                    **headers,
                    "Authorization": f"Bearer {token}",
                    "x-ms-client-request-id": request_id,
                },
                timeout=httpx.Timeout(seconds, connect=min(CONNECT_TIMEOUT, seconds)),
            )
            # The affinity cookie would tie all calls to one of F&O's web servers (F&O contract 4.5).
            request.headers.pop("cookie", None)
            return await self._timed(request, call, seconds)
        except (httpx.RequestError, TimeoutError) as error:
            raise _no_answer(error, call, request_id) from error
        finally:
            self._slots.release()

    async def _timed(self, request: httpx.Request, call: Call, seconds: float) -> httpx.Response:
        started = time.perf_counter()
        status: int | None = None
        try:
            async with asyncio.timeout(seconds):  # httpx limits each read, not the whole answer
                response = await self._http.send(request, follow_redirects=False)
            status = response.status_code
            return response
        finally:
            if self._on_call:
                self._on_call(call.operation, status, time.perf_counter() - started)

    async def _slot(self) -> None:
        left = remaining()
        try:
            async with asyncio.timeout(None if left is None else max(left, 0)):
                await self._slots.acquire()
        except TimeoutError as error:
            raise DeadlineReached("no free F&O connection before the deadline") from error


class _StopBeforeDeadline(stop_base):
    """A wait that leaves no time for the call after it is not begun; the error goes up instead."""

    def __init__(self, needed: float) -> None:
        self._needed = needed

    def __call__(self, state: RetryCallState) -> bool:
        left = remaining()
        return left is not None and state.upcoming_sleep + self._needed > left


def _needs(call: Call) -> float:
    return READ_NEEDS if call.safe_to_repeat else WRITE_NEEDS


def _no_answer(error: Exception, call: Call, request_id: str) -> Unreachable | OutcomeUnknown:
    context = CallContext(call.operation, None, request_id)
    what = f"{call.operation}: {type(error).__name__}"
    if isinstance(error, _NOT_SENT):
        return Unreachable(
            f"{what}; F&O cannot be reached, nothing was sent", system="d365", context=context
        )
    if call.safe_to_repeat:
        return Unreachable(f"{what}; F&O did not answer", system="d365", context=context)
    return OutcomeUnknown(
        f"{what}; no answer to a write, it may have happened", system="d365", context=context
    )


def context_of(response: httpx.Response, call: Call) -> CallContext:
    return CallContext(
        call.operation,
        response.status_code,
        response.request.headers.get("x-ms-client-request-id"),
        response.headers.get("ms-dyn-aid"),
    )
