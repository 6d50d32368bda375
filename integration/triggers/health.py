"""Two questions of a probe: can the app start its work, and does all that it works with answer.

`/api/health` needs no key, calls no other system (a probe that fails with Salesforce would restart a healthy
app) and tells nothing but a word; details are in the log. `/api/health/deep` needs a function key, which the
host checks before this code runs: a function of its own, because one function has one level of authorisation.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import azure.functions as func

from integration.triggers.configured import configured_app
from integration.triggers.problem import problem

bp = func.Blueprint()

_DEEP = "/api/health/deep"
_OFF = ("", "0", "false")


@bp.function_name("health")
@bp.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    if req.params.get("deep", "").lower() not in _OFF:
        return _to_deep(req)
    app = await configured_app()
    return _answer(HTTPStatus.OK, "ok") if app else _misconfigured()


@bp.function_name("health_deep")
@bp.route(route="health/deep", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def health_deep(req: func.HttpRequest) -> func.HttpResponse:
    from integration.health_checks import look

    app = await configured_app()
    if app is None:
        return _misconfigured()
    found = await look(app)
    well = not any(finding.reason for finding in found.values())
    checks = {
        name: {"ok": not finding.reason, "seconds": finding.seconds}
        | ({"reason": finding.reason} if finding.reason else {})
        for name, finding in found.items()
    }
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return _answer(status, "ok" if well else "failing", checks=checks)


def _to_deep(req: func.HttpRequest) -> func.HttpResponse:
    """The host judges the key there; here nobody can. A key in a header is sent again by the caller."""
    key = req.params.get("code")
    if not key and not req.headers.get("x-functions-key"):
        return problem(HTTPStatus.UNAUTHORIZED, f"ask {_DEEP} with a function key")
    location = f"{_DEEP}?code={quote(key, safe='')}" if key else _DEEP
    return func.HttpResponse(
        status_code=HTTPStatus.TEMPORARY_REDIRECT, headers={"Location": location}
    )


def _misconfigured() -> func.HttpResponse:
    return _answer(HTTPStatus.SERVICE_UNAVAILABLE, "misconfigured")


def _answer(status: HTTPStatus, word: str, **members: Any) -> func.HttpResponse:
    body = json.dumps({"status": word, **members})
    headers = {"Cache-Control": "no-store"}
    return func.HttpResponse(body, status_code=status, mimetype="application/json", headers=headers)
