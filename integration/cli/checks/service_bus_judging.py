"""What the properties of a queue and its dead letters mean; pure.

The properties are those of infra/modules/servicebus.bicep; a test compares the two. Sessions, duplicate
detection and partitioning cannot be changed after a queue was made.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from integration.cli.checks.check import Check, failed, ok, warning
from integration.messaging.service_bus import BUSINESS_EVENTS, CHANGES, DEAD_LETTER, JOBS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_FOREVER = timedelta(days=3650)  # a queue without a time to live has one of ten million days
_AGAIN = "delete the queue while it is empty, then `azd provision`: this cannot be changed later"
_PROVISION = "run `azd provision`, which sets it again"


@dataclass(frozen=True, slots=True)
class QueueNeed:
    sessions: bool = False
    duplicates: timedelta | None = None  # how long message ids are remembered, at least
    deliveries: int = 10
    forwards: bool = True


QUEUES: dict[str, QueueNeed] = {
    CHANGES: QueueNeed(sessions=True, duplicates=timedelta(minutes=10)),
    BUSINESS_EVENTS: QueueNeed(),
    JOBS: QueueNeed(),
    DEAD_LETTER: QueueNeed(duplicates=timedelta(days=1), deliveries=2000, forwards=False),
}


def judge_queue(name: str, found: Mapping[str, Any]) -> list[Check]:
    """`found` is what azure-servicebus calls QueueProperties."""
    need, wrong, fixed = QUEUES[name], list[str](), list[str]()
    if bool(found["requires_session"]) is not need.sessions:
        fixed.append("has no sessions" if need.sessions else "demands sessions")
    detects = bool(found["requires_duplicate_detection"])
    if detects is not (need.duplicates is not None):
        fixed.append("detects duplicates" if detects else "detects no duplicates")
    elif need.duplicates and found["duplicate_detection_history_time_window"] < need.duplicates:
        wrong.append(f"remembers message ids for less than {need.duplicates}")
    if found["enable_partitioning"]:
        fixed.append("is partitioned, which breaks the order")
    if found["max_delivery_count"] < need.deliveries:
        wrong.append(f"gives up after {found['max_delivery_count']} deliveries")
    target = str(found["forward_dead_lettered_messages_to"] or "").rpartition("/")[2]
    if need.forwards and target.lower() != DEAD_LETTER:
        wrong.append(f"does not forward its dead letters to {DEAD_LETTER}")
    elif not need.forwards and target:
        wrong.append(f"forwards its own dead letters to {target}")
    life = found["default_message_time_to_live"]
    if life is not None and life < _FOREVER:
        wrong.append(f"lets messages expire after {life}")
    if str(found["status"]).rpartition(".")[2].lower() != "active":
        wrong.append(f"is {found['status']}")
    rows = [failed(f"queue {name}", ", ".join(fixed), _AGAIN)] if fixed else []
    if wrong:
        rows.append(failed(f"queue {name}", ", ".join(wrong), _PROVISION))
    return rows


def judge_dead_letters(letters: Iterable[tuple[str, datetime | None]], bound: int) -> Check:
    """`letters`: kind and time of each, at most `bound`."""
    found = list(letters)
    if not found:
        return ok("dead letters", "none")
    kinds = Counter(kind or "unknown" for kind, _ in found)
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    more = " or more" if len(found) >= bound else ""
    oldest = min((at for _, at in found if at is not None), default=None)
    since = f", the oldest of {oldest:%Y-%m-%d %H:%M} UTC" if oldest else ""
    step = "python -m integration dead-letters list"
    return warning("dead letters", f"{len(found)}{more} wait: {counts}{since}", step)


def judge_left_behind(counts: Mapping[str, int], unreadable: Iterable[str]) -> Check:
    """`counts`: queue → messages that the broker itself gave up and could not forward."""
    title = "not forwarded"
    stuck = [f"{count} in {name}" for name, count in counts.items() if count]
    if stuck:
        step = "docs/runbook.md#dead-letters-not-forwarded"
        return warning(title, f"the broker gave up messages: {', '.join(stuck)}", step)
    hidden = sorted(unreadable)
    return ok(title, f"none; not shown to you: {', '.join(hidden)}" if hidden else "none")
