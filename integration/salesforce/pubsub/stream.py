"""Follows a channel from a stored position for a while, and ends when nothing more comes.

Flow control: Salesforce sends at most as many events as were asked for and have not come yet, 100 of them
at a time; the next are asked for when the caller has done with a page, so a slow caller is never flooded.
The position of a page is safe to store as soon as its events are (Salesforce contract 6.4).
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

from integration.deadline import remaining
from integration.errors import AuthenticationFailed, ContractError, Unreachable
from integration.salesforce.pubsub import pubsub_api_pb2 as api
from integration.salesforce.pubsub.errors import call_error
from integration.salesforce.pubsub.events import Schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from integration.salesforce.auth import Token, TokenSource
    from integration.salesforce.pubsub.events import Change

ASKED = 100  # the most that may be outstanding
_MARGIN = 5.0  # seconds before the deadline at which no further page is begun
_SERVICE = "/eventbus.v1.PubSub/"


@dataclass(frozen=True, slots=True)
class Page:
    """Events in order, and the position behind them. `unreadable`: why events could not be decoded."""

    changes: list[Change]
    position: str
    unreadable: list[str]


class PubSub:
    """One connection. Raises the errors of `errors.call_error` and of the sign-in."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        tokens: TokenSource,
        *,
        quiet: float,
        on_call: Callable[[str, int | None, float], None] | None = None,
    ) -> None:
        """`quiet`: seconds without an event after which a channel counts as read to its end."""
        self._tokens = tokens
        self._quiet = quiet
        self._on_call = on_call
        self._schemas: dict[str, Schema] = {}
        self._subscribe = channel.stream_stream(
            f"{_SERVICE}Subscribe",
            request_serializer=api.FetchRequest.SerializeToString,
            response_deserializer=api.FetchResponse.FromString,
        )
        self._get_schema = channel.unary_unary(
            f"{_SERVICE}GetSchema",
            request_serializer=api.SchemaRequest.SerializeToString,
            response_deserializer=api.SchemaInfo.FromString,
        )

    async def follow(self, topic: str, position: str | None) -> AsyncIterator[Page]:
        """Pages after a stored position (hexadecimal), or of all that is kept where there is none.

        Ends when the channel is quiet or the time of `integration.deadline` is nearly over; the last page
        may hold no events and only a newer position. Raises ReplayExpired where the position is too old.
        """
        token = await self._tokens.current()
        try:
            async for page in self._pages(topic, position, token):
                position = page.position
                yield page
        except AuthenticationFailed:
            # The session ended: one new sign-in, from where the stream stood.
            self._tokens.invalidate(token)
            async for page in self._pages(topic, position, await self._tokens.current()):
                yield page

    async def _pages(self, topic: str, position: str | None, token: Token) -> AsyncIterator[Page]:
        operation = f"subscribe {topic}"
        started = time.perf_counter()
        stream = self._subscribe(metadata=_metadata(token))
        try:
            await stream.write(_first_request(topic, position))
            while (response := await self._read(stream)) is not None:
                page = await self._page(response, token)
                if page.position or page.changes:
                    yield page
                if not response.events:  # a keep-alive: nothing waits
                    return
                if response.pending_num_requested < ASKED // 2:
                    missing = ASKED - response.pending_num_requested
                    await stream.write(api.FetchRequest(topic_name=topic, num_requested=missing))
        except grpc.aio.AioRpcError as error:
            raise call_error(error, operation) from error
        except asyncio.InvalidStateError as error:  # written to a stream that has just ended
            raise Unreachable(
                f"{operation}: the stream ended", reason="stream-ended", system="salesforce"
            ) from error
        finally:
            stream.cancel()
            if self._on_call:
                self._on_call("subscribe", None, time.perf_counter() - started)

    async def _read(self, stream: Any) -> api.FetchResponse | None:
        left = remaining()
        wait = self._quiet if left is None else min(self._quiet, left - _MARGIN)
        if wait <= 0:
            return None
        try:
            answer = await asyncio.wait_for(stream.read(), wait)
        except TimeoutError:
            return None
        if answer is grpc.aio.EOF:
            status = await stream.code()
            if status is grpc.StatusCode.OK:
                return None
            raise Unreachable(
                "the stream was closed", reason=status.name.lower(), system="salesforce"
            )
        if not isinstance(answer, api.FetchResponse):
            raise ContractError("the stream holds something else", system="salesforce")
        return answer

    async def _page(self, response: api.FetchResponse, token: Token) -> Page:
        changes: list[Change] = []
        unreadable: list[str] = []
        position = b""
        for event in response.events:
            position = event.replay_id
            try:
                schema = await self._schema(event.event.schema_id, token)
                changes.append(schema.change(event.event.payload))
            except ContractError as error:
                unreadable.append(f"{event.event.id or event.replay_id.hex()}: {error.description}")
        return Page(changes, (position or response.latest_replay_id).hex(), unreadable)

    async def _schema(self, schema_id: str, token: Token) -> Schema:
        if schema_id not in self._schemas:
            started = time.perf_counter()
            request = api.SchemaRequest(schema_id=schema_id)
            answer: api.SchemaInfo = await self._get_schema(
                request, metadata=_metadata(token), timeout=30
            )
            if self._on_call:
                self._on_call("get schema", None, time.perf_counter() - started)
            self._schemas[schema_id] = Schema(answer.schema_json)
        return self._schemas[schema_id]


@asynccontextmanager
async def connect(
    endpoint: str,
    tokens: TokenSource,
    *,
    quiet: float,
    on_call: Callable[[str, int | None, float], None] | None = None,
) -> AsyncIterator[PubSub]:
    """`endpoint` is host:port; always TLS, with the roots that gRPC is told by the environment."""
    credentials = grpc.ssl_channel_credentials()
    async with grpc.aio.secure_channel(endpoint, credentials) as channel:
        yield PubSub(channel, tokens, quiet=quiet, on_call=on_call)


def _first_request(topic: str, position: str | None) -> api.FetchRequest:
    """The channel and the position count in the first request only."""
    if position is None:
        return api.FetchRequest(
            topic_name=topic, replay_preset=api.ReplayPreset.EARLIEST, num_requested=ASKED
        )
    return api.FetchRequest(
        topic_name=topic,
        replay_preset=api.ReplayPreset.CUSTOM,
        replay_id=bytes.fromhex(position),
        num_requested=ASKED,
    )


def _metadata(token: Token) -> tuple[tuple[str, str], ...]:
    return (
        ("accesstoken", token.value),
        ("instanceurl", token.instance_url),
        ("tenantid", token.org_id or ""),
    )
