"""The time a batch has left, known to every call below it.

A session lock can be lost, and then another instance works on the same records. So no call may outlive
the batch that started it: its time-out is the smaller of its own and what is left, and a write that
might not finish is not begun (design, idea 3).
"""

from __future__ import annotations

import contextvars
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from integration.errors import DeadlineReached

if TYPE_CHECKING:
    from collections.abc import Iterator

_ends_at: contextvars.ContextVar[float | None] = contextvars.ContextVar("deadline", default=None)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Everything inside has at most `seconds`; an outer, earlier deadline still holds."""
    outer = _ends_at.get()
    end = time.monotonic() + seconds
    token = _ends_at.set(end if outer is None else min(outer, end))
    try:
        yield
    finally:
        _ends_at.reset(token)


def remaining() -> float | None:
    """Seconds left, or None where no deadline was set. May be negative."""
    end = _ends_at.get()
    return None if end is None else end - time.monotonic()


def call_timeout(own: float, *, needed: float = 1.0) -> float:
    """The time-out for one call: min(own, what is left).

    Raises DeadlineReached when less than `needed` seconds are left; nothing was sent then.
    """
    left = remaining()
    if left is None:
        return own
    if left < needed:
        raise DeadlineReached(f"{max(left, 0):.1f} s left, the call needs {needed:.1f} s")
    return min(own, left)
