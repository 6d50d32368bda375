"""One run of a job, as it lies in its blob.

`jobs/<kind>/<id>.json`:
{"kind","id","status":"running"|"done"|"failed"|"cancelled","step":0,"sends":1,"troubles":0,"position":{…},
 "cancelling":false,"counts":{"read":200},"failures":[{"key","reason","description"}],"started_at","updated_at","due_at",
 "claimed_until":null,"deadline","error":{"reason","description"}|null}
Times are ISO 8601 in UTC. `error` of a running job is the trouble it is waiting out; of a failed one the end;
of a cancelled one what it could not put in order.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.errors import IntegrationError
    from integration.jobs.job import Progress

FAILURES_KEPT = 100
_TIMES = ("started_at", "updated_at", "due_at", "deadline", "claimed_until")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """`due_at` is when the message of the next step was meant to arrive; `claimed_until` holds other
    deliveries off while a step runs; `troubles` counts the failed tries of this step in a row; `sends`
    makes every message id of the job unique; `cancelling`: it has begun to end early."""

    kind: str
    id: str
    started_at: datetime
    updated_at: datetime
    due_at: datetime
    deadline: datetime
    status: Literal["running", "done", "failed", "cancelled"] = "running"
    step: int = 0
    sends: int = 0
    troubles: int = 0
    position: dict[str, Any] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    failures: tuple[dict[str, str], ...] = ()
    claimed_until: datetime | None = None
    cancelling: bool = False
    error: dict[str, str] | None = None

    @property
    def is_running(self) -> bool:
        return self.status == "running"

    def is_claimed(self, now: datetime) -> bool:
        return self.claimed_until is not None and self.claimed_until > now

    @property
    def held_until(self) -> datetime:
        """When the step may run: it is due, and no other delivery of it is at work."""
        return max(self.due_at, self.claimed_until or self.due_at)

    @property
    def message_id(self) -> str:
        """Of the message that was sent last."""
        return f"{self.kind}:{self.id}:{self.step}:{self.sends}"

    def after(self, progress: Progress, now: datetime) -> JobState:
        """The next step's state, or the end. Raises TypeError for a position that is not JSON."""
        json.dumps(progress.position)  # before anything is changed
        counts = Counter(self.counts)
        counts.update(progress.counts)
        room = max(0, FAILURES_KEPT - len(self.failures))
        failures = self.failures + tuple(asdict(failure) for failure in progress.failures[:room])
        return replace(
            self,
            status=("cancelled" if self.cancelling else "done") if progress.done else "running",
            step=self.step + 1,
            troubles=0,
            position=progress.position,
            counts=dict(counts),
            failures=failures,
            claimed_until=None,
            updated_at=now,
            error=None,
        )

    def troubled(self, error: IntegrationError, now: datetime) -> JobState:
        """The same step, to be tried again."""
        return replace(
            self,
            troubles=self.troubles + 1,
            claimed_until=None,
            updated_at=now,
            error=_reason(error),
        )

    def failed(self, error: IntegrationError, now: datetime) -> JobState:
        status: Literal["failed", "cancelled"] = "cancelled" if self.cancelling else "failed"
        return replace(
            self, status=status, claimed_until=None, updated_at=now, error=_reason(error)
        )

    def armed(self, due_at: datetime) -> JobState:
        """Says when the next message is to arrive and gives it an id of its own."""
        return replace(self, due_at=due_at, sends=self.sends + 1)

    def to_bytes(self) -> bytes:
        data = asdict(self)
        for name in _TIMES:
            data[name] = data[name].isoformat() if data[name] else None
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Members that a newer release added are passed over."""
        data: Mapping[str, Any] = json.loads(body)
        values = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        for name in _TIMES:
            values[name] = datetime.fromisoformat(values[name]) if values.get(name) else None
        values["failures"] = tuple(values.get("failures", ()))
        return cls(**values)


def _reason(error: IntegrationError) -> dict[str, str]:
    return {"reason": error.reason, "description": error.description[:1000]}
