"""What goes wrong on demand, and how fast time runs (`PUT /sandbox/pubsub`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass
class Rules:
    """Seconds are real ones. The shares are drawn from a generator with `seed`.

    keep_alive: without an event an empty answer follows after so long (270 s in Salesforce).
    idle: a stream that asks for nothing more is closed after so long (70 s).
    retention: events older than this are gone, and their positions expired (72 h).
    lose: share of events that are published but never delivered to anybody.
    gap: share of updates that come as GAP_UPDATE, without saying what changed.
    resets: so many of the next streams break after their first page.
    dead: so many of the next streams never answer.
    slow: seconds before each page.
    unavailable: so many of the next streams are refused.
    """

    keep_alive: float = 0.3
    idle: float = 70.0
    retention: float = 72 * 3600.0
    lose: float = 0.0
    gap: float = 0.0
    resets: int = 0
    dead: int = 0
    slow: float = 0.0
    unavailable: int = 0
    seed: int = 1

    def change(self, data: dict[str, Any]) -> None:
        """Raises KeyError for a name that is none."""
        for name, value in data.items():
            if name not in asdict(self):
                raise KeyError(name)
            setattr(self, name, type(getattr(self, name))(value))

    def take(self, name: str) -> bool:
        """Uses one of a fault that is counted."""
        left = int(getattr(self, name))
        if left:
            setattr(self, name, left - 1)
        return left > 0
