"""The parts of a multipart body by name; only what a one-shot job sends (Salesforce contract 3.1)."""

from __future__ import annotations

from email.message import Message

from sandbox.salesforce.bulk.jobs import invalid_job


def parts(content_type: str, body: bytes) -> dict[str, bytes]:
    """Raises ApiError when the body is not in parts."""
    boundary = _header("content-type", content_type).get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise invalid_job("The multipart request has no boundary")
    mark = b"\r\n--" + boundary.encode()
    found = {}
    for piece in (b"\r\n" + body).split(mark)[1:]:
        if piece.startswith(b"--"):
            break
        head, blank, content = piece.partition(b"\r\n\r\n")
        name = None
        for line in head.decode("utf-8", "replace").splitlines():
            field, _, value = line.partition(":")
            if field.strip().lower() == "content-disposition":
                name = _header("content-disposition", value).get_param(
                    "name", header="content-disposition"
                )
        if not blank or not isinstance(name, str):
            raise invalid_job("A part of the multipart request has no name")
        found[name] = content
    return found


def _header(name: str, value: str) -> Message:
    message = Message()
    message[name] = value.strip()
    return message
