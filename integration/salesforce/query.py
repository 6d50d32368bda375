"""SOQL reads: pages, deleted rows, and queries too long for a URL (Salesforce contract 2.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.errors import ContractError
from integration.salesforce.encoding import to_json
from integration.salesforce.errors import Effect, answer_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.salesforce.paths import Paths
    from integration.salesforce.transport import Transport

URL_LIMIT = 14_000
"""Bytes of a path. Salesforce refuses 16,384 for URI and headers together (431), and a token can be long."""


async def query_rows(
    transport: Transport, paths: Paths, soql: str, *, include_deleted: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Every row, page by page. Raises QueryLocatorExpired where a page is gone: the caller starts again,
    since rows it has seen may have changed meanwhile. ContractError where a page makes no sense."""
    page = await _first_page(transport, paths.query(soql, include_deleted=include_deleted))
    async for row in _pages(transport, page):
        yield row


async def child_rows(transport: Transport, children: Any) -> list[dict[str, Any]]:
    """All rows of a sub-query, given what stands for it in its parent: None where there are none, and only
    the first page of many (Salesforce contract 2.4). Errors as `query_rows`."""
    return [] if children is None else [row async for row in _pages(transport, _page(children))]


async def _pages(transport: Transport, page: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    seen: set[str] = set()
    while True:
        records = page.get("records")
        if not isinstance(records, list):
            raise ContractError("a query page without records", system="salesforce")
        for record in records:
            yield record
        if page.get("done", True):
            return
        following = page.get("nextRecordsUrl")
        if not isinstance(following, str) or not following.startswith("/") or following in seen:
            raise ContractError("a query page names no next page", system="salesforce")
        seen.add(following)
        answer = await transport.request(
            "GET", following, operation="query more", effect=Effect.READ
        )
        page = _page(answer.body)


async def _first_page(transport: Transport, path: str) -> dict[str, Any]:
    if len(path) <= URL_LIMIT:
        answer = await transport.request("GET", path, operation="query", effect=Effect.READ)
        return _page(answer.body)
    answer = await transport.request(
        "POST",
        path.partition("/query")[0] + "/composite",
        operation="query",
        effect=Effect.READ,
        content=to_json({"compositeRequest": [{"method": "GET", "url": path, "referenceId": "q"}]}),
    )
    try:
        (inner,) = answer.body["compositeResponse"]
        status, body = int(inner["httpStatusCode"]), inner["body"]
    except (KeyError, TypeError, ValueError) as error:
        raise ContractError("a composite answer without its query", system="salesforce") from error
    if status >= 300:
        raise answer_error(status, body, {}, operation="query", effect=Effect.READ)
    return _page(body)


def _page(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise ContractError("a query page that is no object", system="salesforce")
    return body
