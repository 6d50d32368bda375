"""How many records each side holds: the cheapest proof that nothing is missing.

A difference is reported, never acted on record by record: a count does not say which one is missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.flows.reading import count_records, count_rows
from integration.flows.reconcile_compare import FINAL
from integration.salesforce.soql import condition

if TYPE_CHECKING:
    from integration.d365.client import D365Client
    from integration.d365.filters import Filter
    from integration.flows.drift_report import Report
    from integration.salesforce.client import SalesforceClient


@dataclass(frozen=True, slots=True)
class Count:
    """`object` rows with `key`; `sets` (set, filter, column) are counted together.

    `job` heals a difference of whole tables.
    """

    name: str
    object: str
    key: str
    sets: tuple[tuple[str, Filter | None, str], ...]
    job: str | None = None


class Counts:
    def __init__(
        self, salesforce: SalesforceClient, d365: D365Client, counts: tuple[Count, ...]
    ) -> None:
        self._all = counts
        self._salesforce = salesforce
        self._d365 = d365

    async def into(self, report: Report, healed: dict[str, list[int]]) -> list[str]:
        """Puts them all into the report and returns the jobs to start.

        `healed` are the pairs for which a job was started already: one that it did not make equal, because
        Salesforce keeps products that F&O dropped, starts none again.
        """
        jobs: list[str] = []
        for count in self._all:
            try:
                salesforce, d365 = await self.of(count)
            except FINAL as error:
                what = f"{error.reason}: {error.description}"
                report["not_compared"][f"count of {count.name}"] = what
                continue
            report["counts"].append({"name": count.name, "salesforce": salesforce, "d365": d365})
            pair = [salesforce, d365]
            if count.job and salesforce != d365 and healed.get(count.name) != pair:
                jobs.append(count.job)
                healed[count.name] = pair
        return jobs

    async def of(self, count: Count) -> tuple[int, int]:
        """Salesforce's and F&O's. Raises what the clients raise."""
        filled = condition(count.key, "!=", None)
        salesforce = await count_records(self._salesforce, count.object, filled)
        return salesforce, sum(
            [
                await count_rows(self._d365, entity_set, key=key, filter=filter_)
                for entity_set, filter_, key in count.sets
            ]
        )
