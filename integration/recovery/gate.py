"""Keeps a system that is down from being asked by every waiting hint.

After trouble of a whole system its gate closes for a growing time (up to 15 minutes). Hints that arrive
meanwhile wait without a call; when the time is over one single hint probes, and its success opens the
gate for all (design, idea 4). One gate per system and process: instances probe independently, which is
at most a handful of calls.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from integration.errors import SystemTrouble, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from integration.errors import SystemName

Passage = Literal["open", "probe"]


@dataclass(slots=True)
class _State:
    failures: int = 0
    closed_until: float = 0.0
    probing: bool = False


class SystemGate:
    def __init__(
        self, *, base: float, longest: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._base = base
        self._longest = longest
        self._clock = clock
        self._states: dict[SystemName, _State] = {}

    def enter(self, systems: tuple[SystemName, ...]) -> Passage:
        """Whether a batch that needs these systems may run: "open", "probe" (one record only) or waits.

        Raises Unreachable with `retry_after` while a gate is closed or somebody else probes.
        """
        now = self._clock()
        waits = [
            (state.closed_until - now if state.closed_until > now else self._base, name)
            for name in systems
            if (state := self._states.get(name)) and (state.closed_until > now or state.probing)
        ]
        if waits:
            seconds, name = max(waits)
            raise Unreachable(
                f"{name} is in trouble; next try in {seconds:.0f} s",
                reason="waiting-for-system",
                system=name,
                retry_after=seconds,
            )
        troubled = [s for name in systems if (s := self._states.get(name)) and s.failures]
        for state in troubled:
            state.probing = True
        return "probe" if troubled else "open"

    def leave(
        self,
        systems: tuple[SystemName, ...],
        trouble: SystemTrouble | None,
        *,
        unasked: Collection[str] = (),
    ) -> None:
        """Reports how a batch ended; `trouble` closes the gate of its system. Without any, all open but
        those of `unasked` systems: a probe that never came to its system proves nothing.

        Batches that ran at the same time meet the same trouble: it counts once.
        """
        for name in systems:
            state = self._states.setdefault(name, _State())
            state.probing = False
            if trouble is None:
                if name in unasked:
                    continue
                state.failures = 0
                state.closed_until = 0.0
            elif trouble.system == name:
                now = self._clock()
                wait = trouble.retry_after or 0.0
                if state.closed_until <= now:
                    wait = max(wait, min(self._longest, self._base * 2**state.failures))
                    state.failures = min(state.failures + 1, 16)
                state.closed_until = max(state.closed_until, now + wait)
