"""Versions, the resource map, limits and record counts (Salesforce contracts 1.1 and 2.10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from sandbox.salesforce.api import LOWEST_VERSION, Api
from sandbox.salesforce.call import Answer, Call

if TYPE_CHECKING:
    from starlette.requests import Request

_SEASONS = ("Spring", "Summer", "Winter")
_NEWEST = 62


def add_routes(api: Api) -> None:
    api.route("GET ", resource_map)
    api.route("GET limits", limits)
    api.route("GET limits/recordCount", record_count)


async def versions(_: Request) -> Response:
    """Answers without a session and is not counted to the quota."""
    rows = [
        {"version": f"{n}.0", "url": f"/services/data/v{n}.0", "label": _label(n)}
        for n in range(LOWEST_VERSION, _NEWEST + 1)
    ]
    return JSONResponse(rows)


def resource_map(api: Api, call: Call) -> Answer:
    paths = ("sobjects", "query", "queryAll", "composite", "limits")
    found = {name: f"{call.base}/{name}" for name in paths}
    found["identity"] = f"{_origin(call)}/id/{api.org.id}/{call.actor.user_id}"
    return Answer(200, found)


def limits(api: Api, _: Call) -> Answer:
    fixed = {
        "DailyBulkV2QueryFileStorageMB": 976562,
        "DailyDeliveredPlatformEvents": 10000,
        "DataStorageMB": 1024,
        "FileStorageMB": 1024,
        "HourlyPublishedPlatformEvents": 50000,
    }
    body = {name: {"Max": most, "Remaining": most} for name, most in fixed.items()}
    for name, used in (
        ("DailyApiRequests", api.quota),
        ("DailyBulkApiBatches", api.batches),
        ("DailyBulkV2QueryJobs", api.query_jobs),
    ):
        body[name] = {"Max": used.max, "Remaining": max(0, used.max - used.used)}
    return Answer(200, body)


def record_count(api: Api, call: Call) -> Answer:
    asked = [name for name in call.query.get("sObjects", "").split(",") if name]
    names = asked or list(api.org.schema.objects)
    counts = api.org.store.counts()
    found = [o for o in map(api.org.schema.find, names) if o is not None]
    return Answer(200, {"sObjects": [{"count": counts[o.name], "name": o.name} for o in found]})


def _label(version: int) -> str:
    """v50 is Winter '21, v51 Spring '21, v52 Summer '21, v53 Winter '22."""
    season = _SEASONS[(version - 51) % 3]
    return f"{season} '{21 + (version - 50) // 3}"


def _origin(call: Call) -> str:
    scheme = call.headers.get("x-forwarded-proto", "http")
    return f"{scheme}://{call.headers.get('host', 'localhost')}"
