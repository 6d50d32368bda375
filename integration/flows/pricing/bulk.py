"""Sends the kept rows by Bulk API 2.0: products, standard entries, custom ones, then those to close.

One upsert by key takes new and known entries together, and nothing is read before. What comes back refused
is sorted when its load is over (see `sorting`): rows in the wrong form are sent once more in the other one,
items that must be looked at go on to the Collections path. Position: `stage` of STAGES, and `load`, that of
BulkLoad while it runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from integration.errors import RecordRejected
from integration.flows.pricebook_changes import ENTRY_KEY
from integration.flows.pricing.changes import CLOSING, CUSTOMS, PRODUCTS, STANDARDS, Shape
from integration.jobs.kinds import PRICES
from integration.mapping.products import EXTERNAL_ID
from integration.telemetry import audit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.errors import IntegrationError
    from integration.flows.pricing.report import Report
    from integration.jobs.job import Position
    from integration.salesforce.bulk import Operation
    from integration.salesforce.bulk_load import LoadAdvance
    from integration.salesforce.bulk_position import LoadResult

SECOND = "-2"  # ends the names of the second round's stages
STAGES = (PRODUCTS, STANDARDS, CUSTOMS, CLOSING, STANDARDS + SECOND, CUSTOMS + SECOND)
FIRST_ROUND = 4  # stages
_COMPLETE = "JobComplete"


class Loads(Protocol):
    """`salesforce.bulk_load.BulkLoad`."""

    def begin(
        self,
        rows: str,
        *,
        object: str,
        columns: Sequence[str],
        operation: Operation,
        external_id: str | None = None,
        key: str,
        name: str,
        count_created: bool = False,
    ) -> Position: ...

    async def advance(self, position: Position) -> LoadAdvance: ...
    async def abort(self, position: Position) -> None: ...


class Bulk:
    def __init__(self, loads: Loads) -> None:
        self._loads = loads

    async def advance(self, position: Position, report: Report, shape: Shape) -> Position:
        """One piece of a load; the caller saves the position before the next."""
        if position.get("broken"):
            return position | {"phase": "report"}
        number = position["stage"]
        if number == FIRST_ROUND and not position["second"]:
            return position | {"phase": "second"}
        if number == len(STAGES):
            return position | {"phase": "report"}
        stage = STAGES[number]
        if not position["rows"].get(stage):
            return position | {"stage": number + 1}
        if position["load"] is None:
            return position | {"load": self._begin(position["run"], stage, shape)}
        report.ends_step = True
        advance = await self._loads.advance(position["load"])
        report.delay = advance.delay
        if advance.result is None:
            return position | {"load": advance.position}
        return self._ended(position, report, shape, advance.result)

    async def abort(self, load: Position) -> None:
        """Rows that Salesforce has written by then stay written."""
        await self._loads.abort(load)

    def _begin(self, run: str, stage: str, shape: Shape) -> Position:
        kind = stage.removesuffix(SECOND)
        is_product = kind == PRODUCTS
        key = EXTERNAL_ID if is_product else ENTRY_KEY
        return self._loads.begin(
            f"{run}/{stage}",
            object="Product2" if is_product else "PricebookEntry",
            columns=shape.columns(kind),
            operation="upsert",
            external_id=key,
            key=key,
            name=f"{run}/load-{stage}",
        )

    def broken(self, position: Position) -> IntegrationError:
        """Why the run ends where Salesforce did not take a load to its end, or did not say what became of its
        rows. The rows that it refused have been told; nothing is confirmed, the next run sends all again."""
        return RecordRejected(position["broken"], reason="bulk-load", system="salesforce")

    def _ended(
        self, position: Position, report: Report, shape: Shape, result: LoadResult
    ) -> Position:
        stage = STAGES[position["stage"]]
        if result.state != _COMPLETE or result.unknown or result.unprocessed:
            what = result.description or "Salesforce did not say what became of every row"
            broken = f"Bulk load of {stage}: {result.state}, {what}"
            sort = [result.failures, 0]
            return position | {"phase": "sort", "sort": sort, "load": None, "broken": broken}
        kind = stage.removesuffix(SECOND)
        what = "product" if kind == PRODUCTS else "price"
        report.counts[f"{what}s_written"] += result.processed - result.failed
        name = f"{position['run']}/{stage}"
        audit(PRICES, f"bulk-upsert-{what}", name, shape.columns(kind), rows=result.processed)
        position = position | {"load": None}
        if not result.failed:
            return position | {"stage": position["stage"] + 1}
        return position | {"phase": "sort", "sort": [result.failures, 0]}
