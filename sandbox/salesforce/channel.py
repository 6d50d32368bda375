"""What waits for one subscriber, and when it is tried again.

Documented times in seconds (Salesforce contract 4); the rules' `time_factor` divides them.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import random

    from sandbox.salesforce.subscriptions import Rules, Subscription

FIRST_GAP, LONGEST_GAP, GIVE_UP = 2.0, 7200.0, 86400.0
MOST_NOTIFICATIONS = 100
PARALLEL = 4


@dataclass
class Pending:
    id: str
    record_id: str
    events: list[dict[str, Any]]
    since: float
    due: float
    attempts: int = 0
    repeated: bool = False

    @property
    def size(self) -> int:
        """How many notifications or events it stands for."""
        return max(1, len(self.events))


@dataclass
class Channel:
    subscription: Subscription
    action_id: str
    queue: list[Pending] = field(default_factory=list)
    in_flight: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, rules: Rules, dice: random.Random) -> list[list[Pending]]:
        """Moves what is due to `in_flight`: up to PARALLEL messages."""
        moment = time.monotonic()
        ready = [item for item in self.queue if item.due <= moment]
        if rules.shuffle:
            dice.shuffle(ready)
        size = MOST_NOTIFICATIONS if self.subscription.kind == "outbound-message" else 1
        taken = ready[: size * PARALLEL]
        ids = {id(item) for item in taken}
        self.queue = [item for item in self.queue if id(item) not in ids]
        self.in_flight += len(taken)
        return [taken[start : start + size] for start in range(0, len(taken), size)]

    def put_back(self, items: list[Pending], time_factor: float) -> list[Pending]:
        """Queues a refused message again; returns what is given up instead."""
        moment = time.monotonic()
        given_up = []
        for item in items:
            item.attempts += 1
            gap = min(FIRST_GAP * 2 ** (item.attempts - 1), LONGEST_GAP) / time_factor
            if self.subscription.kind == "json":
                over = item.attempts > self.subscription.retries
            else:
                over = moment + gap - item.since > GIVE_UP / time_factor
            if over:
                given_up.append(item)
            else:
                item.due = moment + gap
                self.queue.append(item)
        return given_up
