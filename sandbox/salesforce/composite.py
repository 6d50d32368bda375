"""`POST /composite` and `POST /composite/batch`: several sub-requests in one API call.

The whole call answers 200; each sub-request has its own status. References `@{ref.path}` are filled
in from earlier answers (Salesforce contract 2.6).
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.sobject_collections import fault_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.salesforce.api import Api

MOST_SUBREQUESTS = 25
MOST_HEAVY = 5  # sub-requests that are collections or queries
_REFERENCE = re.compile(r"@\{([^}]+)\}")
_STEP = re.compile(r"\.?([A-Za-z_]\w*)|\[(\d+)\]")
_HALTED = "The transaction was rolled back since another operation in the same transaction failed."


def add_routes(api: Api) -> None:
    api.route("POST composite", composite)
    api.route("POST composite/batch", batch)


def composite(api: Api, call: Call) -> Answer:
    body = call.json_object()
    subs = _sub_requests(body.get("compositeRequest"), "compositeRequest")
    names = [sub.get("referenceId") for sub in subs]
    if any(not isinstance(name, str) or not name for name in names):
        raise ApiError.plain("INVALID_INPUT", "referenceId is required in every subrequest")
    if len(set(names)) != len(names):
        raise ApiError.plain("INVALID_INPUT", "Provided referenceId is not unique")
    if sum(_heavy(str(sub.get("url", ""))) for sub in subs) > MOST_HEAVY:
        raise ApiError.plain(
            "LIMIT_EXCEEDED", f"Only {MOST_HEAVY} subrequests may be collections or queries"
        )
    all_or_none = body.get("allOrNone") is True
    mark = api.org.mark()
    answers: dict[str, Answer] = {}
    cause: str | None = None
    for sub in subs:
        name = sub["referenceId"]
        if cause is not None and all_or_none:
            answers[name] = _halted()
            continue
        answer = _sub_answer(api, call, sub, answers, all_or_none)
        answers[name] = answer
        if answer.status >= 300 or (all_or_none and _has_failed_row(answer)):
            cause = cause or name
    if all_or_none and cause is not None:
        api.org.rollback(mark)
        answers = {n: a if n == cause else _halted() for n, a in answers.items()}
    return Answer(
        200,
        {
            "compositeResponse": [
                {
                    "body": answer.body,
                    "httpHeaders": answer.headers,
                    "httpStatusCode": answer.status,
                    "referenceId": name,
                }
                for name, answer in answers.items()
            ]
        },
    )


def batch(api: Api, call: Call) -> Answer:
    body = call.json_object()
    results: list[dict[str, Any]] = []
    halted = False
    for sub in _sub_requests(body.get("batchRequests"), "batchRequests"):
        if halted:
            error = ApiError.plain("BATCH_PROCESSING_HALTED", "Batch processing halted per request")
            results.append({"statusCode": 412, "result": error.body()})
            continue
        url = str(sub.get("url", ""))
        url = url if url.startswith("/") else f"/services/data/{url}"
        answer = _dispatch(api, call, str(sub.get("method", "GET")), url, sub.get("richInput"), {})
        results.append({"statusCode": answer.status, "result": answer.body})
        halted = bool(body.get("haltOnError")) and answer.status >= 300
    return Answer(
        200, {"hasErrors": any(r["statusCode"] >= 300 for r in results), "results": results}
    )


def _sub_answer(
    api: Api, call: Call, sub: dict[str, Any], answers: Mapping[str, Answer], all_or_none: bool
) -> Answer:
    try:
        url = str(_fill(sub.get("url", ""), answers))
        body = _fill(sub.get("body"), answers)
    except _DependencyFailed:
        return _halted()
    except LookupError as exc:
        error = ApiError.plain("INVALID_INPUT", f"Invalid reference specified. {exc.args[0]}")
        return Answer(400, error.body())
    headers = {k.lower(): str(v) for k, v in (sub.get("httpHeaders") or {}).items()}
    method = str(sub.get("method", "")).upper()
    return _dispatch(api, call, method, url, body, headers, force_all_or_none=all_or_none)


def _dispatch(
    api: Api,
    call: Call,
    method: str,
    url: str,
    body: Any,
    headers: dict[str, str],
    *,
    force_all_or_none: bool = False,
) -> Answer:
    path, _, query = url.partition("?")
    match = re.fullmatch(r"/services/data/(v[\d.]+)/(.+?)/?", path)
    if match is None or match.group(2) in ("composite", "composite/batch"):
        error = ApiError.plain("INVALID_INPUT", f"The url is not allowed in a subrequest: {url}")
        return Answer(400, error.body())
    if fault := api.inner_fault(call, method, path):
        broken = fault_error(fault)
        return Answer(broken.status, broken.body())
    inner = replace(
        call,
        method=method,
        version=match.group(1),
        segments=[unquote(part) for part in match.group(2).split("/")],
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers={**call.headers, **headers},
        body=body,
        force_all_or_none=force_all_or_none,
    )
    return api.run(inner)


class _DependencyFailed(Exception):
    """A reference points to a sub-request that failed."""


def _fill(value: Any, answers: Mapping[str, Answer]) -> Any:
    if isinstance(value, dict):
        return {key: _fill(item, answers) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, answers) for item in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _resolve(whole.group(1), answers)
    return _REFERENCE.sub(lambda match: str(_resolve(match.group(1), answers)), value)


def _resolve(expression: str, answers: Mapping[str, Answer]) -> Any:
    name, _, path = expression.partition(".")
    name, bracket, rest = name.partition("[")
    path = f"[{rest}.{path}" if bracket else path
    answer = answers.get(name)
    if answer is None:
        raise LookupError(f"No value for {expression} found")
    if answer.status >= 300:
        raise _DependencyFailed
    value = answer.body
    for word, index in _STEP.findall(path):
        if word and isinstance(value, dict) and word in value:
            value = value[word]
        elif index and isinstance(value, list) and int(index) < len(value):
            value = value[int(index)]
        else:
            raise LookupError(f"No value for {expression} found in {name}")
    return value


def _sub_requests(given: Any, name: str) -> list[dict[str, Any]]:
    if not isinstance(given, list) or not all(isinstance(sub, dict) for sub in given):
        raise ApiError.plain("JSON_PARSER_ERROR", f"{name} must be an array of objects")
    if not given:
        raise ApiError.plain("INVALID_INPUT", f"{name} must not be empty")
    if len(given) > MOST_SUBREQUESTS:
        raise ApiError.plain(
            "LIMIT_EXCEEDED", f"The request may hold at most {MOST_SUBREQUESTS} subrequests"
        )
    return given


def _heavy(url: str) -> bool:
    path = url.partition("?")[0]
    return "/composite/sobjects" in path or "/query" in path


def _has_failed_row(answer: Answer) -> bool:
    rows = answer.body if isinstance(answer.body, list) else []
    return any(isinstance(row, dict) and row.get("success") is False for row in rows)


def _halted() -> Answer:
    return Answer(400, ApiError.plain("PROCESSING_HALTED", _HALTED).body())
