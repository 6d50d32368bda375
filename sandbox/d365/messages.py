"""What travels between the HTTP layer and the OData service: operations in, replies out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.errors import ODataError

JSON_TYPE = "application/json; odata.metadata=minimal"


@dataclass(frozen=True)
class Session:
    """Who calls: the user an application is mapped to, and the environment's URL as the client knows it."""

    client_id: str
    user_id: str
    company: str
    base_url: str


@dataclass(frozen=True)
class Operation:
    """`path` is percent-encoded and starts after `/data/`; header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


def json_reply(status: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Reply(status, text.encode(), {"content-type": JSON_TYPE, **(headers or {})})


def error_reply(error: ODataError) -> Reply:
    if error.body is None:
        return Reply(error.status, b"", dict(error.headers))
    return json_reply(error.status, error.body, error.headers)
