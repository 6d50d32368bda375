"""Throttling (F&O contract 4): resource-based refusals at random, legacy per-user limits.

`PUT /sandbox/throttle {"mode": "off" | "resource" | "inner" | "user", "share": 0.3, "retry_after": 2 | null,
"seed": 1, "requests": 6000, "seconds": 1200, "window_s": 300, "concurrent": 52}`. `inner` refuses single
operations of a `$batch` whose outer answer stays 200. A refused request was not executed.
"""

from __future__ import annotations

import random
import time
from collections import deque
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from sandbox.d365.messages import Reply, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable

RESOURCE_MESSAGE = (
    "This request could not be processed at this time due to system experiencing high resource"
    " utilization."
)
MODES = ("off", "resource", "inner", "user")


@dataclass
class ThrottleSettings:
    mode: str = "off"
    share: float = 1.0
    retry_after: int | None = None
    seed: int = 0
    requests: int = 6000
    seconds: float = 1200
    window_s: float = 300
    concurrent: int = 52


@dataclass
class _UserLoad:
    """Requests of the window as (start, duration) and how many are running."""

    finished: deque[tuple[float, float]]
    running: int = 0


class Throttle:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.configure({})

    def configure(self, given: dict[str, Any]) -> None:
        """Starts anew with these settings; raises `ValueError` for unknown ones."""
        names = {field.name for field in fields(ThrottleSettings)}
        if set(given) - names or given.get("mode", "off") not in MODES:
            raise ValueError(f"throttle settings are {sorted(names)}, modes are {MODES}")
        self.settings = ThrottleSettings(**given)
        self.refused = 0
        self._random = random.Random(self.settings.seed)
        self._users: dict[str, _UserLoad] = {}

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self.settings), "refused": self.refused}

    def enter(self, user: str) -> Reply | None:
        """Admits a request (None; call `leave` when it ends) or refuses it."""
        if self.settings.mode == "resource" and self._random.random() < self.settings.share:
            return self._refuse(RESOURCE_MESSAGE)
        load = self._users.setdefault(user, _UserLoad(deque()))
        reason = self._user_limit(load) if self.settings.mode == "user" else None
        if reason is not None:
            return self._refuse(reason)
        load.running += 1
        return None

    def leave(self, user: str, started: float) -> None:
        load = self._users.setdefault(user, _UserLoad(deque()))
        load.running = max(0, load.running - 1)
        if self.settings.mode == "user":
            load.finished.append((started, self._clock() - started))

    def now(self) -> float:
        return self._clock()

    def inner_refusal(self) -> Reply | None:
        if self.settings.mode == "inner" and self._random.random() < self.settings.share:
            return self._refuse(RESOURCE_MESSAGE)
        return None

    def _user_limit(self, load: _UserLoad) -> str | None:
        limits, window = self.settings, f"{self.settings.window_s:.0f} seconds"
        while load.finished and load.finished[0][0] < self._clock() - limits.window_s:
            load.finished.popleft()
        if load.running >= limits.concurrent:
            return f"Number of concurrent requests exceeded the limit of {limits.concurrent}."
        if len(load.finished) + load.running >= limits.requests:
            return (
                f"Number of requests exceeded the limit of {limits.requests} over the time window of"
                f" {window}."
            )
        if sum(duration for _, duration in load.finished) >= limits.seconds:
            return (
                f"Combined execution time of incoming requests exceeded limit of {limits.seconds:.0f}"
                f" seconds over time window of {window}. Decrease number of concurrent requests or"
                " reduce the duration of requests and try again later."
            )
        return None

    def _refuse(self, message: str) -> Reply:
        self.refused += 1
        delay = self.settings.retry_after
        headers = {} if delay is None else {"retry-after": str(delay)}
        return json_reply(429, {"error": {"code": "", "message": message}}, headers)
