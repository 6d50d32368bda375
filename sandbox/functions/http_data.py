"""HTTP requests and responses in the shapes the worker exchanges (Functions contract D).

Header names lower-cased; repeated query keys joined with a comma, empty values absent; a body only
with a Content-Length above zero, so a chunked request arrives empty, as in the real host.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from azure_functions_runtime.bindings.datumdef import Datum


@dataclass
class Answer:
    """An HTTP response; `cookies` are complete Set-Cookie values."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)


def query_values(query_string: bytes) -> dict[str, str]:
    joined: dict[str, str] = {}
    for key, value in parse_qsl(query_string.decode("latin-1")):
        joined[key] = f"{joined[key]},{value}" if key in joined else value
    return joined


def header_values(scope: dict[str, Any]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        separator = "; " if name == "cookie" else ","
        joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
    return joined


def request_datum(
    scope: dict[str, Any],
    headers: dict[str, str],
    query: dict[str, str],
    route_params: dict[str, str],
    body: bytes,
) -> Datum:
    """The input of an HTTP trigger."""
    raw = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1").split("?")[0]
    host = headers.get("host") or "{}:{}".format(*scope["server"])
    url = f"{scope['scheme']}://{host}{raw}"
    if scope["query_string"]:
        url += "?" + scope["query_string"].decode("latin-1")
    value = {
        "method": _text(scope["method"]),
        "url": _text(url),
        "headers": {k: _text(v) for k, v in headers.items()},
        "query": {k: _text(v) for k, v in query.items()},
        "params": {k: _text(v) for k, v in route_params.items()},
        "body": Datum(body, "bytes"),
    }
    return Datum(value, "http")


def answer_of(returned: Datum | None) -> Answer:
    """The response to what the function returned."""
    if returned is None or returned.type is None:
        return Answer(204)
    if returned.type == "http":
        value = returned.value
        cookies = [
            morsel.OutputString() for cookie in value["cookies"] or () for morsel in cookie.values()
        ]
        headers = {name: datum.value for name, datum in value["headers"].items()}
        return Answer(int(value["status_code"].value), value["body"].value, headers, cookies)
    body = returned.value
    raw = body if isinstance(body, bytes) else str(body).encode()
    return Answer(200, raw, {"content-type": "text/plain; charset=utf-8"})


def _text(value: str) -> Datum:
    return Datum(value, "string")
