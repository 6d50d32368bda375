"""Who is told of changes, and how the way to them behaves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

_ROOT_FIELDS = ("AccountId", "OpportunityId", "SystemModstamp")


@dataclass
class Subscription:
    """`events` default to what the kind can send: an outbound message cannot tell of a delete."""

    object: str
    kind: Literal["outbound-message", "json"]
    url: str
    function_key: str = ""
    secret: str = ""
    static_secret: str = ""
    enabled: bool = True
    fields: list[str] = field(default_factory=lambda: list(_ROOT_FIELDS))
    events: list[str] = field(default_factory=list)
    retries: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("outbound-message", "json"):
            raise ValueError(f"unknown kind {self.kind!r}")
        created = ["CREATE", "UPDATE"] + (["DELETE"] if self.kind == "json" else [])
        self.events = [event.upper() for event in self.events] or created


@dataclass
class Rules:
    """How the way to the subscriber behaves; shares are probabilities per notification."""

    duplicate_share: float = 0.0
    lose_share: float = 0.0
    shuffle: bool = False
    paused: bool = False
    seed: int = 0
    time_factor: float = 20.0
