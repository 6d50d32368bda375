"""Service Bus functions that record what they were given; `GET /api/seen` shows the records."""

from __future__ import annotations

import asyncio
import json
import time
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
seen: list[dict[str, typing.Any]] = []
everyone = asyncio.Barrier(64)


def describe(message: func.ServiceBusMessage) -> dict[str, typing.Any]:
    enqueued = message.enqueued_time_utc
    return {
        "body": message.get_body().decode(),
        "message_id": message.message_id,
        "session_id": message.session_id,
        "delivery_count": message.delivery_count,
        "correlation_id": message.correlation_id,
        "content_type": message.content_type,
        "application_properties": message.application_properties,
        "sequence_number": message.sequence_number,
        "enqueued": enqueued.isoformat() if enqueued else None,
        "enqueued_has_zone": bool(enqueued and enqueued.tzinfo),
        "locked_until": str(message.locked_until),
        "time_to_live": str(message.time_to_live),
        "dead_letter_reason": message.dead_letter_reason,
        "metadata": sorted(message.metadata or {}),
    }


def record(function: str, **values: typing.Any) -> dict[str, typing.Any]:
    entry = {"function": function, "started": time.monotonic(), "ended": None, **values}
    seen.append(entry)
    return entry


@app.route(route="seen", methods=["GET"])
async def show(req: func.HttpRequest) -> str:
    return json.dumps([e for e in seen if e["function"] == req.params["function"]])


@app.service_bus_queue_trigger(arg_name="message", connection="ServiceBus", queue_name="%TEXT%")
async def text(message: func.ServiceBusMessage) -> None:
    record("text", **describe(message))


@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="binary", data_type="binary"
)
async def binary(message: func.ServiceBusMessage) -> None:
    record("binary", **describe(message))


@app.service_bus_queue_trigger(
    arg_name="messages", connection="ServiceBus", queue_name="batch", cardinality="many"
)
async def batch(messages: typing.List[func.ServiceBusMessage]) -> None:  # noqa: UP006 - list[] fails
    record("batch", size=len(messages), messages=[describe(m) for m in messages])


@app.service_bus_queue_trigger(arg_name="message", connection="ServiceBus", queue_name="work")
async def work(message: func.ServiceBusMessage) -> None:
    order = json.loads(message.get_body())
    entry = record("work", message_id=message.message_id, count=message.delivery_count)
    await asyncio.sleep(order.get("sleep", 0))
    if order.get("fail"):
        raise RuntimeError("asked to fail")
    entry["ended"] = time.monotonic()


@app.service_bus_queue_trigger(arg_name="message", connection="ServiceBus", queue_name="sync")
def blocking(message: func.ServiceBusMessage) -> None:
    entry = record("blocking", message_id=message.message_id)
    time.sleep(0.3)
    entry["ended"] = time.monotonic()


@app.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name="sessions",
    data_type="binary",
    is_sessions_enabled=True,
)
async def sessions(message: func.ServiceBusMessage) -> None:
    order = json.loads(message.get_body())
    entry = record(
        "sessions",
        message_id=message.message_id,
        session_id=message.session_id,
        count=message.delivery_count,
    )
    if order.get("barrier"):
        async with asyncio.timeout(10):
            await everyone.wait()
    await asyncio.sleep(order.get("sleep", 0))
    if order.get("fail"):
        raise RuntimeError("asked to fail")
    entry["ended"] = time.monotonic()


@app.service_bus_queue_trigger(
    arg_name="message", connection="ServiceBus", queue_name="manual", auto_complete_messages=False
)
async def unsettled(message: func.ServiceBusMessage) -> None:
    record("unsettled", message_id=message.message_id)


@app.route(route="send", methods=["POST"])
@app.service_bus_queue_output(arg_name="out", connection="ServiceBus", queue_name="out")
async def send(req: func.HttpRequest, out: func.Out[str]) -> str:
    out.set(req.get_body().decode())
    return "sent"
