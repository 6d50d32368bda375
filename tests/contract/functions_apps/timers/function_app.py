"""Timers that record their runs; `GET /api/runs` shows them."""

from __future__ import annotations

import asyncio
import json
import time
import typing

import azure.functions as func

app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
runs: list[dict[str, typing.Any]] = []


async def record(name: str, timer: func.TimerRequest, seconds: float = 0) -> None:
    entry = {"name": name, "past_due": timer.past_due, "status": timer.schedule_status}
    entry |= {"schedule": timer.schedule, "started": time.time(), "ended": None}
    runs.append(entry)
    await asyncio.sleep(seconds)
    entry["ended"] = time.time()


@app.route(route="runs", methods=["GET"])
async def show(req: func.HttpRequest) -> str:
    return json.dumps(runs)


@app.timer_trigger(arg_name="timer", schedule="%EVERY_SECOND%")
async def each_second(timer: func.TimerRequest) -> None:
    await record("each_second", timer)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def overrunning(timer: func.TimerRequest) -> None:
    await record("overrunning", timer, seconds=1.05)


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *", run_on_startup=True)
async def at_start(timer: func.TimerRequest) -> None:
    await record("at_start", timer)


@app.timer_trigger(arg_name="timer", schedule="0 0 4 * * *")
async def nightly(timer: func.TimerRequest) -> None:
    await record("nightly", timer, seconds=0.3)


@app.timer_trigger(arg_name="timer", schedule="* * * * * *")
async def switched_off(timer: func.TimerRequest) -> None:
    await record("switched_off", timer)


@app.timer_trigger(arg_name="timer", schedule="0 0 5 * * *")
async def failing(timer: func.TimerRequest) -> None:
    raise RuntimeError("the timer failed")
