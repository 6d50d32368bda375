"""The multipart/mixed framing of `$batch` (F&O contract 3.2, 3.3): tolerant in, exact out."""

from __future__ import annotations

import itertools
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox.d365.errors import bad_request
from sandbox.d365.messages import Operation, Reply

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OPERATIONS = 5000

_BOUNDARY = re.compile(r"""boundary\s*=\s*(?:"([^"]+)"|([^;\s]+))""", re.IGNORECASE)
_BLANK_LINE = re.compile(rb"\r?\n[ \t]*\r?\n")
_REQUEST_LINE = re.compile(r"([A-Z]+)\s+(\S.*?)\s+HTTP/\d\.\d", re.IGNORECASE)
_REASONS = {
    200: "OK",
    201: "Created",
    204: "No Content",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    412: "Precondition Failed",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
}


@dataclass(frozen=True)
class BatchItem:
    """An inner operation with its Content-ID, which its reply repeats."""

    operation: Operation
    content_id: str | None


# A changeset is a list, everything else stands alone
BatchPart = BatchItem | list[BatchItem]


def parse_batch(content_type: str, body: bytes) -> list[BatchPart]:
    """Raises `ODataError` 400 for framing that cannot be read or more than 5,000 operations."""
    parts: list[BatchPart] = []
    for headers, content in _sections(content_type, body):
        inner_type = headers.get("content-type", "")
        if inner_type.lower().startswith("multipart/mixed"):
            parts.append([_item(inner, text) for inner, text in _sections(inner_type, content)])
        else:
            parts.append(_item(headers, content))
    total = sum(len(part) if isinstance(part, list) else 1 for part in parts)
    if total > MAX_OPERATIONS:
        raise bad_request(
            f"The number of operations in the batch, {total}, exceeds the limit of {MAX_OPERATIONS}."
        )
    return parts


def _sections(content_type: str, body: bytes) -> Iterable[tuple[dict[str, str], bytes]]:
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise bad_request("The content type of a batch needs a boundary.")
    boundary = re.escape((match[1] or match[2]).encode())
    # Clients write blanks behind the marker; another boundary may start with this one's text
    marker = re.compile(rb"(?:\A|\r?\n)--" + boundary + rb"(--)?[ \t]*(?=\r?\n|\Z)")
    found = list(marker.finditer(body))
    if not found:
        raise bad_request("The batch holds no part with its boundary.")
    for start, end in itertools.pairwise(found):
        if start[1] is None:
            yield _split_headers(body[start.end() : end.start()])


def _split_headers(section: bytes) -> tuple[dict[str, str], bytes]:
    head, content = _split_once(section.lstrip(b"\r\n"))
    return _headers(head.decode("utf-8", "replace").splitlines()), content


def _split_once(block: bytes) -> tuple[bytes, bytes]:
    match = _BLANK_LINE.search(block)
    return (block, b"") if match is None else (block[: match.start()], block[match.end() :])


def _headers(lines: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _item(part_headers: dict[str, str], content: bytes) -> BatchItem:
    head, body = _split_once(content.lstrip(b"\r\n"))
    first, *rest = head.decode("utf-8", "replace").splitlines() or [""]
    match = _REQUEST_LINE.fullmatch(first.strip())
    if match is None:
        raise bad_request(f"The batch part does not start with a request line: '{first[:100]}'.")
    headers = _headers(rest)
    path, query = _relative(match[2])
    operation = Operation(match[1].upper(), path, query, headers, body.strip())
    return BatchItem(operation, part_headers.get("content-id") or headers.get("content-id"))


def _relative(url: str) -> tuple[str, str]:
    """Path behind `/data/` and query of an absolute, host-relative or service-relative URL."""
    parts = urlsplit(url)
    path = parts.path
    if parts.scheme or path.startswith("/"):
        before, separator, path = path.partition("/data/")
        if not separator or before:
            raise bad_request(f"The batch part addresses something outside /data: '{url[:200]}'.")
    return path, parts.query


class BatchReply:
    """Collects replies and writes them as one multipart body."""

    def __init__(self) -> None:
        self._boundary = f"batchresponse_{uuid.uuid4()}"
        self._parts: list[bytes] = []

    @property
    def content_type(self) -> str:
        return f"multipart/mixed; boundary={self._boundary}"

    def add(self, reply: Reply, content_id: str | None) -> None:
        self._parts.append(_http_part(reply, content_id))

    def add_changeset(self, replies: Iterable[tuple[Reply, str | None]]) -> None:
        boundary = f"changesetresponse_{uuid.uuid4()}"
        head = f"Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n".encode()
        inner = [_http_part(reply, content_id) for reply, content_id in replies]
        self._parts.append(head + _framed(boundary, inner))

    def body(self) -> bytes:
        return _framed(self._boundary, self._parts)


def _framed(boundary: str, parts: list[bytes]) -> bytes:
    marker = f"--{boundary}\r\n".encode()
    return b"".join(marker + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()


def _http_part(reply: Reply, content_id: str | None) -> bytes:
    lines = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    if content_id is not None:
        lines.append(f"Content-ID: {content_id}")
    reason = _REASONS.get(reply.status, "Status")
    lines += ["", f"HTTP/1.1 {reply.status} {reason}"]
    names = {name: "-".join(word.title() for word in name.split("-")) for name in reply.headers}
    lines += [f"{names[name]}: {value}" for name, value in reply.headers.items()]
    lines += ["OData-Version: 4.0", "", ""]
    return "\r\n".join(lines).encode() + reply.body
