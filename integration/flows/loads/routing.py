"""The one place that decides by volume: OData or data package, Collections or Bulk, now or with the timer.

Pure: it knows counts, the settings and the calls that are left, nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from integration.messaging.hints import Hint
    from integration.salesforce.budget import ApiBudget
    from integration.settings import VolumeSettings

ToD365 = Literal["odata", "package"]
ToSalesforce = Literal["collections", "bulk"]
Lookup = Literal["keys", "table"]

BATCH = 100  # hints that the flow handles together
CALLS_PER_BATCH = 2  # of Salesforce: read, write back
BULK_CALLS = 10  # of one Bulk load: create, upload, close, polls, results
SPENT = 0.25  # of the calls that are left may go into one load
# Hints that loads, reconciliation and the ledger made are handled at once: they come from the package, or
# from somebody who waits for the result, and must not go round in circles.
OWN_EVENTS = ("load-", "reconcile:", "ledger:")


def to_d365(rows: int, settings: VolumeSettings, budget: ApiBudget | None = None) -> ToD365:
    """How so many differing accounts or contacts go to F&O. `odata` means: as hints to their flow."""
    if rows > settings.package_threshold:
        return "package"
    calls = math.ceil(rows / BATCH) * CALLS_PER_BATCH
    return "package" if rows > BATCH and _is_scarce(calls, budget) else "odata"


def to_salesforce(
    rows: int, settings: VolumeSettings, budget: ApiBudget | None = None, *, collection: int = 200
) -> ToSalesforce:
    """How so many rows are written to Salesforce; `collection` rows travel in one Collections call."""
    if rows > settings.bulk_threshold:
        return "bulk"
    calls = math.ceil(rows / collection)
    return "bulk" if calls > BULK_CALLS and _is_scarce(calls, budget) else "collections"


def look_up(keys: int, rows: int, settings: VolumeSettings, *, terms: int, batch: int) -> Lookup:
    """Whether so many keys are asked for by name, or the whole table of `rows` is read.

    A `$batch` takes `batch` filters of `terms` comparisons; that many comparisons cost F&O about what a
    page of rows does.
    """
    pages = max(1.0, rows / settings.d365_page)
    return "keys" if keys / (terms * batch) <= pages else "table"


def waits_for_timer(route: str, hint: Hint) -> bool:
    """Whether the record of a hint is only noted for the next package.

    The first delivery of a change alone: what was tried already, what a person sent again, and what somebody
    waits for goes on.
    """
    return (
        route == "scheduled"
        and hint.attempt == 1
        and hint.replay == 0
        and hint.reply_to is None
        and not hint.event_id.startswith(OWN_EVENTS)
    )


def _is_scarce(calls: int, budget: ApiBudget | None) -> bool:
    return budget is not None and calls > max(0, budget.limit - budget.used) * SPENT
