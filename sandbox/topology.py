"""The queues of the app, as `infra/` creates them in Azure (design: data flow; Azure contract 2)."""

from __future__ import annotations

from datetime import timedelta

from sandbox.servicebus.options import QueueOptions

CHANGES = "changes"
DEAD_LETTER = "dead-letter"
BUSINESS_EVENTS = "d365-business-events"
JOBS = "jobs"


def queues(lock_seconds: float = 60) -> list[QueueOptions]:
    """`dead-letter` itself does not forward, and its delivery count is the highest allowed."""
    lock = timedelta(seconds=lock_seconds)
    return [
        QueueOptions(
            name=CHANGES,
            lock_duration=lock,
            max_delivery_count=10,
            requires_session=True,
            duplicate_detection_window=timedelta(minutes=10),
            forward_dead_letters_to=DEAD_LETTER,
        ),
        QueueOptions(
            name=BUSINESS_EVENTS,
            lock_duration=lock,
            max_delivery_count=10,
            forward_dead_letters_to=DEAD_LETTER,
        ),
        QueueOptions(
            name=JOBS,
            lock_duration=lock,
            max_delivery_count=10,
            forward_dead_letters_to=DEAD_LETTER,
        ),
        QueueOptions(
            name=DEAD_LETTER,
            lock_duration=lock,
            max_delivery_count=2000,
            duplicate_detection_window=timedelta(days=1),
        ),
    ]
