"""`/query`, `/queryAll` and the pages behind a locator (Salesforce contract 2.4)."""

from __future__ import annotations

import re
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError
from sandbox.salesforce.ids import IdFactory
from sandbox.salesforce.soql_run import Result, run
from sandbox.salesforce.soql_syntax import malformed

if TYPE_CHECKING:
    from sandbox.salesforce.api import Api

LARGEST_PAGE = 2000
SMALLEST_PAGE = 200
KEPT = 500


class Locators:
    """Results of queries that did not fit one page, oldest dropped first."""

    def __init__(self) -> None:
        self._ids = IdFactory()
        self._results: OrderedDict[str, tuple[Result, int]] = OrderedDict()

    def keep(self, result: Result, size: int) -> str:
        locator = self._ids.new("01g")
        self._results[locator] = (result, size)
        while len(self._results) > KEPT:
            self._results.popitem(last=False)
        return locator

    def get(self, locator: str) -> tuple[Result, int] | None:
        return self._results.get(locator)

    def expire(self) -> None:
        self._results.clear()


def add_routes(api: Api) -> None:
    for name in ("query", "queryAll"):
        api.route(f"GET {name}", query)
        api.route(f"GET {name}/{{locator}}", more)


def query(api: Api, call: Call) -> Answer:
    text = call.query.get("q")
    if not text:
        raise malformed("A query string has to be specified")
    everything = call.segments[0].lower() == "queryall"
    result = run(api.org, text, call.base, deleted=everything)
    size = _page_size(call.headers.get("sforce-query-options", ""), result)
    locator = api.locators.keep(result, size) if len(result.rows) > size else ""
    return Answer(200, _page(call, result, locator, 0, size))


def more(api: Api, call: Call) -> Answer:
    locator, _, offset = call.segments[1].partition("-")
    kept = api.locators.get(locator)
    if kept is None or not offset.isdigit():
        raise ApiError.plain("INVALID_QUERY_LOCATOR", "invalid query locator")
    result, size = kept
    return Answer(200, _page(call, result, locator, int(offset), size))


def _page(call: Call, result: Result, locator: str, start: int, size: int) -> dict[str, Any]:
    end = start + size
    done = end >= len(result.rows)
    page: dict[str, Any] = {"totalSize": result.total, "done": done}
    if not done:
        page["nextRecordsUrl"] = f"{call.base}/{call.segments[0]}/{locator}-{end}"
    page["records"] = [result.write(row) for row in result.rows[start:end]]
    return page


def _page_size(options: str, result: Result) -> int:
    match = re.search(r"batchSize\s*=\s*(\d+)", options, re.IGNORECASE)
    size = int(match.group(1)) if match else LARGEST_PAGE
    if result.long_texts >= 2:
        return SMALLEST_PAGE
    return max(SMALLEST_PAGE, min(LARGEST_PAGE, size))
