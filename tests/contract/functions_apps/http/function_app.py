"""HTTP functions that report what they were given."""

from __future__ import annotations

import asyncio
import json
import logging
import os

import azure.functions as func

print("printed while the app is imported")
app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)
meeting = asyncio.Barrier(20)


@app.route(
    route="items/{item_number}", methods=["GET", "POST"], auth_level=func.AuthLevel.ANONYMOUS
)
async def item(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    seen = {
        "item_number": req.route_params["item_number"],
        "method": req.method,
        "url": req.url,
        "params": dict(req.params),
        "trace_header": req.headers.get("X-Trace"),
        "header_names": sorted(req.headers),
        "body": req.get_body().decode(),
        "function": context.function_name,
        "trace_parent": context.trace_context.Traceparent,
    }
    return func.HttpResponse(json.dumps(seen), mimetype="application/json", status_code=201)


@app.route(route="items/special", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def special(req: func.HttpRequest) -> str:
    return "the literal route"


@app.route(route="files/{*path}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def files(req: func.HttpRequest) -> str:
    return req.route_params["path"]


@app.route(route="pages/{number:int}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def pages(req: func.HttpRequest) -> str:
    return req.route_params["number"]


@app.route(methods=["GET"])
async def keyed(req: func.HttpRequest) -> str:
    return "open"


@app.route(methods=["GET"], auth_level=func.AuthLevel.ADMIN)
async def masters(req: func.HttpRequest) -> str:
    return "open"


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def boom(req: func.HttpRequest) -> str:
    raise ValueError("no secret of mine may reach the caller")


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def wrong(req: func.HttpRequest):
    return {"a": "dict is no HTTP response"}


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def meet(req: func.HttpRequest) -> str:
    async with asyncio.timeout(10):
        await meeting.wait()
    return "met"


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def cookies(req: func.HttpRequest) -> func.HttpResponse:
    response = func.HttpResponse("ok", headers={"X-One": "1"})
    response.headers.add("Set-Cookie", "a=1; Path=/; HttpOnly")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def setting(req: func.HttpRequest) -> str:
    logging.getLogger("app").info("reading a setting")
    return os.environ["GREETING"]


@app.timer_trigger(arg_name="timer", schedule="%MISSING_SCHEDULE%")
async def unresolved(timer: func.TimerRequest) -> None: ...


@app.timer_trigger(arg_name="timer", schedule="0 0 3 * * *")
async def nightly(timer: func.TimerRequest) -> None: ...


@app.route(methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def slow(req: func.HttpRequest) -> str:
    await asyncio.sleep(0.5)
    return "finished"
