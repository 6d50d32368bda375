"""`eventbus.v1.PubSub` over TLS: Subscribe, GetSchema, GetTopic (Salesforce contracts 6.2 to 6.4)."""

from __future__ import annotations

import asyncio
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from integration.salesforce.pubsub import pubsub_api_pb2 as api

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sandbox.entra.certificates import TlsFiles
    from sandbox.salesforce.oauth import Authority
    from sandbox.salesforce.pubsub.bus import Bus

MOST_ASKED = 100
_PAGE = 25  # events of one answer
_CODES = "sfdc.platform.eventbus.grpc."
_Context = grpc.aio.ServicerContext[Any, Any]


class PubSubServer:
    def __init__(self, bus: Bus, authority: Authority, org_id: str, *, port: int = 0) -> None:
        self.bus = bus
        self._authority = authority
        self._org_id = org_id
        self._port = port
        self._server: grpc.aio.Server | None = None
        self.calls: dict[str, int] = {}
        self.endpoint = ""

    async def start(self, tls: TlsFiles) -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((self._handlers(),))
        key, certificate = await asyncio.to_thread(_read, tls)
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        self._port = server.add_secure_port(f"127.0.0.1:{self._port}", credentials)
        await server.start()
        self._server, self.endpoint = server, f"127.0.0.1:{self._port}"

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=0.1)
            self._server = None

    def _handlers(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            "eventbus.v1.PubSub",
            {
                "Subscribe": grpc.stream_stream_rpc_method_handler(
                    self._subscribe, api.FetchRequest.FromString, _bytes
                ),
                "GetSchema": grpc.unary_unary_rpc_method_handler(
                    self._get_schema, api.SchemaRequest.FromString, _bytes
                ),
                "GetTopic": grpc.unary_unary_rpc_method_handler(
                    self._get_topic, api.TopicRequest.FromString, _bytes
                ),
            },
        )

    async def _get_schema(self, request: Any, context: _Context) -> Any:
        await self._admit(context, "GetSchema")
        schema = self.bus.schemas.get(request.schema_id)
        if schema is None:
            await _abort(context, grpc.StatusCode.NOT_FOUND, "schema.notfound", "no such schema")
            return None
        return api.SchemaInfo(schema_json=schema.text, schema_id=schema.id, rpc_id=_rpc_id())

    async def _get_topic(self, request: Any, context: _Context) -> Any:
        await self._admit(context, "GetTopic")
        await self._check_topic(request.topic_name, context)
        return api.TopicInfo(
            topic_name=request.topic_name,
            tenant_guid=self._org_id,
            can_publish=False,
            can_subscribe=True,
            rpc_id=_rpc_id(),
        )

    async def _subscribe(
        self, requests: AsyncIterator[Any], context: _Context
    ) -> AsyncIterator[Any]:
        await self._admit(context, "Subscribe")
        rules = self.bus.rules
        if rules.take("unavailable"):
            await _abort(context, grpc.StatusCode.UNAVAILABLE, "service.unavailable", "try later")
        if rules.take("dead"):
            await asyncio.sleep(3600)
        resets = rules.take("resets")
        first = await anext(aiter(requests))
        topic = first.topic_name
        await self._check_topic(topic, context)
        position = await self._start(first, context)
        pending = _Pending(first.num_requested)
        reader = asyncio.create_task(pending.follow(requests, topic))
        try:
            quiet_since = idle_since = time.monotonic()
            while not pending.ended:
                events = self.bus.after(position, topic, min(_PAGE, pending.count))
                if events:
                    if rules.slow:
                        await asyncio.sleep(rules.slow)
                    position = events[-1].position
                    pending.count -= len(events)
                    quiet_since = idle_since = time.monotonic()
                    yield self._answer(events, pending.count)
                    if resets:
                        await _abort(
                            context, grpc.StatusCode.UNAVAILABLE, "", "RST_STREAM closed stream"
                        )
                    continue
                if pending.count and time.monotonic() - quiet_since >= rules.keep_alive:
                    quiet_since = time.monotonic()
                    yield api.FetchResponse(
                        latest_replay_id=self.bus.latest(),
                        rpc_id=_rpc_id(),
                        pending_num_requested=pending.count,
                    )
                if pending.count:
                    idle_since = time.monotonic()
                elif time.monotonic() - idle_since >= rules.idle:
                    return
                await self._wait(min(0.05, rules.keep_alive))
            if pending.error:
                await _abort(
                    context, grpc.StatusCode.INVALID_ARGUMENT, "topic.changed", pending.error
                )
        finally:
            reader.cancel()

    async def _start(self, first: Any, context: _Context) -> int:
        if first.replay_preset == api.ReplayPreset.EARLIEST:
            return 0
        if first.replay_preset == api.ReplayPreset.LATEST:
            return int.from_bytes(self.bus.latest(), "big")
        if not self.bus.knows(first.replay_id):
            code = "subscription.fetch.replayid.validation.failed"
            text = "The Replay ID validation failed. Ensure that the Replay ID is valid."
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, code, text)
        return int.from_bytes(first.replay_id, "big")

    def _answer(self, events: list[Any], pending: int) -> Any:
        return api.FetchResponse(
            events=[
                api.ConsumerEvent(
                    event=api.ProducerEvent(
                        id=event.id, schema_id=event.schema.id, payload=event.payload
                    ),
                    replay_id=event.replay_id,
                )
                for event in events
            ],
            latest_replay_id=events[-1].replay_id,
            rpc_id=_rpc_id(),
            pending_num_requested=pending,
        )

    async def _wait(self, seconds: float) -> None:
        async with self.bus.arrived:
            try:
                await asyncio.wait_for(self.bus.arrived.wait(), seconds)
            except TimeoutError:
                return

    async def _admit(self, context: _Context, method: str) -> None:
        self.calls[method] = self.calls.get(method, 0) + 1
        given = {str(key): value for key, value in context.invocation_metadata() or ()}
        token = str(given.get("accesstoken", ""))
        known = self._authority.user_of(token)
        if known is None or given.get("tenantid") != self._org_id or not given.get("instanceurl"):
            text = "An authentication exception occurred. rpcId: " + _rpc_id()
            await _abort(context, grpc.StatusCode.UNAUTHENTICATED, "service.auth.error", text)

    async def _check_topic(self, topic: str, context: _Context) -> None:
        if topic not in self.bus.topics():
            text = f"The topic {topic} was not found"
            await _abort(context, grpc.StatusCode.NOT_FOUND, "topic.notfound", text)


class _Pending:
    """How many events were asked for and have not been sent."""

    def __init__(self, asked: int) -> None:
        self.count = min(MOST_ASKED, asked)
        self.ended = False
        self.error = ""

    async def follow(self, requests: AsyncIterator[Any], topic: str) -> None:
        async for request in requests:
            if request.topic_name and request.topic_name != topic:
                self.error = "the topic of a stream cannot change"
                break
            self.count = min(MOST_ASKED, self.count + request.num_requested)
        self.ended = True


def _read(tls: TlsFiles) -> tuple[bytes, bytes]:
    return Path(tls.key_file).read_bytes(), Path(tls.certificate_file).read_bytes()


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _rpc_id() -> str:
    return str(uuid.uuid4())


async def _abort(context: _Context, status: grpc.StatusCode, code: str, text: str) -> None:
    trailers = (("rpc-id", _rpc_id()), *((("error-code", f"{_CODES}{code}"),) if code else ()))
    await context.abort(status, text, trailing_metadata=trailers)
