"""Every failure the app knows, in one tree.

    IntegrationError
    ├── RecordError            concerns this record alone; uses up an attempt
    │   ├── RecordRejected     permanent: it cannot succeed until somebody changes data or configuration
    │   ├── RecordNeedsReview  permanent: a person must decide (ambiguous match, price differs, duplicate)
    │   └── RecordBusy         transient: row lock, update conflict, hiccup of one row
    │       └── RecordHeld     a running load writes it; waiting uses up no attempt
    ├── SystemTrouble          concerns a whole system; uses up no attempt
    │   ├── Unreachable        no connection, maintenance, 5xx
    │   ├── Throttled          429, concurrent-request limit; nothing was executed
    │   ├── BudgetSpent        the daily call allowance is used up
    │   ├── AuthenticationFailed
    │   └── Misconfigured      wrong host, missing entity or field, missing right
    ├── OutcomeUnknown         a write may or may not have happened: read before repeating it
    │   └── CreatePending      an earlier create may still be running; only reading is allowed
    ├── DeadlineReached        the batch has no time left for this call; nothing was sent
    ├── ContractError          bytes from outside that cannot be understood
    └── ConfigurationError     the app's own settings or mapping file; lists every problem

The clients translate an answer into one of these where they read it; nothing above them sees a status
code. `recovery.decisions` turns them into what happens next. `str(error)` never holds a payload.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SystemName = Literal["salesforce", "d365", "service_bus", "storage", "app"]

REASON_LIMIT = 64
DESCRIPTION_LIMIT = 4096  # Service Bus refuses longer dead-letter descriptions (Azure contract 2)


@dataclass(frozen=True, slots=True)
class CallContext:
    """What support needs to find a call again: ids only, never a payload."""

    operation: str = ""
    status: int | None = None
    request_id: str | None = None
    activity_id: str | None = None  # F&O `ms-dyn-aid`, the id Microsoft support asks for


class IntegrationError(Exception):
    """Base of all. `reason` is a short stable constant to group by, `description` is for people.

    Both fit a dead letter: at most 64 and 4,096 characters.
    """

    reason = "unexpected"

    def __init__(
        self,
        description: str,
        *,
        reason: str | None = None,
        system: SystemName = "app",
        context: CallContext | None = None,
    ) -> None:
        super().__init__(description)
        self.reason = (reason or type(self).reason)[:REASON_LIMIT]
        self.description = description[:DESCRIPTION_LIMIT]
        self.system: SystemName = system
        self.context = context or CallContext()


class RecordError(IntegrationError):
    """Concerns one record."""


class RecordRejected(RecordError):
    """The record cannot be delivered as it is."""

    reason = "rejected"


class RecordNeedsReview(RecordError):
    """A person must decide; guessing could double or corrupt business data."""

    reason = "needs-review"


class RecordBusy(RecordError):
    """The record is locked or changed underneath; the same call may succeed later."""

    reason = "busy"


class RecordHeld(RecordBusy):
    """A running load is about to write the record; nothing was done to it."""

    reason = "held-by-load"


class SystemTrouble(IntegrationError):
    """A whole system cannot serve now. `retry_after` (seconds) is the server's own word, if any."""

    def __init__(
        self,
        description: str,
        *,
        reason: str | None = None,
        system: SystemName = "app",
        context: CallContext | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(description, reason=reason, system=system, context=context)
        self.retry_after = retry_after


class Unreachable(SystemTrouble):
    reason = "unreachable"


class Throttled(SystemTrouble):
    """Refused before execution, so repeating even a create is safe (F&O contract 4.2)."""

    reason = "throttled"


class BudgetSpent(SystemTrouble):
    reason = "budget-spent"


class AuthenticationFailed(SystemTrouble):
    reason = "authentication"


class Misconfigured(SystemTrouble):
    reason = "misconfigured"


class OutcomeUnknown(IntegrationError):
    """A write was sent and no answer came. It may still be running on the server."""

    reason = "outcome-unknown"


class CreatePending(OutcomeUnknown):
    """Somebody began to create this record and nobody knows the end. `retry_after` in seconds."""

    reason = "create-pending"

    def __init__(self, description: str, *, retry_after: float, system: SystemName = "app") -> None:
        super().__init__(description, system=system)
        self.retry_after = retry_after


class DeadlineReached(IntegrationError):
    reason = "deadline"


class ContractError(IntegrationError):
    reason = "undecodable"


class ConfigurationError(IntegrationError):
    """Holds every problem found, not only the first."""

    reason = "configuration"

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems

    def __str__(self) -> str:
        lines = "\n".join(f"  - {problem}" for problem in self.problems)
        return f"{len(self.problems)} configuration problem(s):\n{lines}"
