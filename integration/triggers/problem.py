"""Errors to HTTP callers, in the one form of RFC 9457 (`application/problem+json`)."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import azure.functions as func

if TYPE_CHECKING:
    from http import HTTPStatus


def problem(
    status: HTTPStatus, detail: str, *, retry_after: float | None = None
) -> func.HttpResponse:
    headers = {} if retry_after is None else {"Retry-After": str(max(1, math.ceil(retry_after)))}
    body = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return func.HttpResponse(
        json.dumps(body),
        status_code=status,
        mimetype="application/problem+json",
        headers=headers,
    )
