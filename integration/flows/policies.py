"""What happens to a record of each flow that keeps failing: the last column of the flow table, in one place.

`exhausted` ends a record after its deliveries, `rejected` one that can never succeed. A record that needs a
person's decision always ends in review, whatever the flow.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from integration.recovery.decisions import End, FailurePolicy

if TYPE_CHECKING:
    from integration.settings import RetrySettings

# flow: (exhausted, rejected)
ENDS: dict[str, tuple[End, End]] = {
    "accounts": ("dead-letter", "dead-letter"),
    "contacts": ("dead-letter", "dead-letter"),
    "orders": ("review", "review"),
    "invoices": ("reconcile", "reconcile"),
    "customers": ("dead-letter", "dead-letter"),
}


def policy_of(flow: str, retry: RetrySettings) -> FailurePolicy:
    exhausted, rejected = ENDS[flow]
    general = FailurePolicy(
        attempts=retry.attempts,
        base_delay=retry.base_delay,
        max_delay=retry.max_delay,
        max_age=retry.max_age,
    )
    return replace(general, exhausted=exhausted, rejected=rejected)
