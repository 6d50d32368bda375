"""The text of a `$batch`: written exactly, read tolerantly.

Requests use CRLF, absolute inner URLs and a Content-ID for each operation (F&O contract 3.2). Answers are
read whether a failed changeset comes bare or wrapped, with or without Content-ID, with LF ends, blanks
after boundaries or a missing end mark (F&O contract 3.3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

_STATUS = re.compile(r"HTTP/\d(?:\.\d)?\s+(\d{3})")
_EOL = "\r\n"


@dataclass(frozen=True, slots=True)
class InnerRequest:
    content_id: int
    method: str
    url: str
    body: str | None = None
    etag: str | None = None


@dataclass(frozen=True, slots=True)
class InnerResponse:
    status: int
    headers: httpx.Headers
    body: str
    content_id: int | None = None


@dataclass(frozen=True, slots=True)
class ResponseGroup:
    """The answers to one changeset or to one single request."""

    responses: list[InnerResponse] = field(default_factory=list)

    def content_ids(self) -> list[int]:
        return [item.content_id for item in self.responses if item.content_id is not None]


def write_batch(groups: Sequence[tuple[bool, Sequence[InnerRequest]]]) -> tuple[str, str]:
    """(content type, body) for groups of (is a changeset, its requests)."""
    boundary = f"batch_{uuid4().hex}"
    lines: list[str] = []
    for is_changeset, requests in groups:
        lines.append(f"--{boundary}")
        if is_changeset:
            inner = f"changeset_{uuid4().hex}"
            lines += [f"Content-Type: multipart/mixed; boundary={inner}", ""]
            for request in requests:
                lines += [f"--{inner}", *_part(request)]
            lines.append(f"--{inner}--")
        else:
            for request in requests:
                lines += _part(request)
    lines += [f"--{boundary}--", ""]
    return f"multipart/mixed; boundary={boundary}", _EOL.join(lines)


def _part(request: InnerRequest) -> list[str]:
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {request.content_id}",
        "",
        f"{request.method} {request.url} HTTP/1.1",
        "OData-Version: 4.0",
        "OData-MaxVersion: 4.0",
        "Accept: application/json;odata.metadata=minimal",
    ]
    if request.etag is not None:
        lines.append(f"If-Match: {request.etag}")
    if request.body is not None:
        lines.append("Content-Type: application/json;odata.metadata=minimal")
    return [*lines, "", request.body or ""]


def read_batch(content_type: str, content: bytes) -> list[ResponseGroup] | None:
    """The groups of an answer in its order, or None when it is no multipart text at all."""
    boundary = _boundary(content_type)
    if boundary is None:
        return None
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    groups: list[ResponseGroup] = []
    for part in _split(text.replace("\r\n", "\n"), boundary):
        headers, rest = _headers(part)
        inner = _boundary(headers.get("content-type", ""))
        if inner is None:
            response = _response(headers, rest)
            found = [response] if response else []
        else:
            parts = (_headers(piece) for piece in _split(rest, inner))
            found = [item for piece in parts if (item := _response(*piece))]
        groups.append(ResponseGroup(found))
    return groups


def _boundary(content_type: str) -> str | None:
    message = Message()
    message["content-type"] = content_type
    return message.get_boundary() if message.get_content_maintype() == "multipart" else None


def _split(text: str, boundary: str) -> list[str]:
    """The parts between the boundary lines; a part without its end mark counts as well."""
    parts: list[list[str]] = []
    current: list[str] | None = None
    for line in text.split("\n"):
        mark = line.rstrip()
        if mark == f"--{boundary}--":
            break
        if mark == f"--{boundary}":
            current = []
            parts.append(current)
        elif current is not None:
            current.append(line if mark else "")
    return ["\n".join(part) for part in parts]


def _headers(text: str) -> tuple[httpx.Headers, str]:
    """The headers up to the first blank line; none when the text starts with one."""
    head, _, rest = text.partition("\n\n") if not text.startswith("\n") else ("", "", text[1:])
    pairs = (line.partition(":") for line in head.split("\n") if ":" in line)
    return httpx.Headers([(name.strip(), value.strip()) for name, _, value in pairs]), rest


def _response(part: httpx.Headers, text: str) -> InnerResponse | None:
    """None when the part holds no status line: then nothing is known about its operation."""
    found = _STATUS.match(text.lstrip())
    if not found:
        return None
    headers, body = _headers(text.lstrip().partition("\n")[2])
    raw = part.get("content-id") or headers.get("content-id") or ""
    number = raw.strip("<> ")
    return InnerResponse(
        status=int(found.group(1)),
        headers=headers,
        body=body.strip(),
        content_id=int(number) if number.isdecimal() else None,
    )
