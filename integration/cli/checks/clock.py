"""This machine's clock against that of a server, by the `Date` of an answer.

A sign-in by JWT lives 150 s, and a signed event may be 300 s old: a clock far off refuses both.
"""

from __future__ import annotations

from email.utils import parsedate_to_datetime

from integration.cli.checks.check import Check, failed, not_checked, ok, warning

_WARNING = 30.0  # seconds
_FAILED = 120.0
_STEP = "set this machine's clock by a time server; in Azure the platform does"


def judge_clock(date: str | None, asked: float, answered: float) -> Check:
    """`asked` and `answered` are unix seconds around the call."""
    try:
        server = parsedate_to_datetime(date or "").timestamp() + 0.5  # whole seconds, cut
    except ValueError:
        return not_checked("clock", "the answer names no time")
    # The answer was made at some moment of the call, so that its length is no difference.
    early, late = asked - server, answered - server
    off = early if early > 0 else min(late, 0.0)
    text = f"{abs(off):.0f} s {'ahead' if off > 0 else 'behind'}" if abs(off) >= 1 else "the same"
    if abs(off) > _FAILED:
        return failed("clock", text, _STEP)
    return warning("clock", text, _STEP) if abs(off) > _WARNING else ok("clock", text)
