"""Waits for what becomes of hints that a command has sent (`state.replies`)."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from integration.cli.pausing import pause
from integration.flows.batcher import COALESCED
from integration.state.replies import WAITING, Replies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from integration.cli.output import Output
    from integration.state.replies import Reply
    from integration.wiring import App

POLL = 0.3  # seconds
FAILED_AGAIN = ("dead-letter", "review", "reconcile", "skip")  # ends of a failure policy
WORDS = {
    "dead-letter": "failed",
    "review": "needs a person",
    "reconcile": "failed, kept in the ledger",
    "skip": "failed, skipped by its flow",
    "synced": "in step",
    "skipped": "skipped",
    "dry": "not written: the flow is on dry run",
    "parked": "parked: the flow is switched off",
    WAITING: "waits",
    "moved": "on its way",
}


def new_run() -> str:
    """A name for the hints of one command; begins with the time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Outcomes:
    """Of one command. `places` are the `reply_to` of its hints."""

    def __init__(self, app: App, out: Output, run: str, timeout: float) -> None:
        self._replies = Replies(app.state)
        self._out = out
        self._timeout = timeout
        self.run = run

    def place(self, number: int) -> str:
        return f"{self.run}/{number:06}"

    async def wait(self, places: Iterable[str]) -> dict[str, Reply]:
        """The last reply of each; a place is missing where nobody answered in time."""
        open_, known = set(places), dict[str, "Reply"]()
        total, until = len(open_), time.monotonic() + self._timeout
        with self._out.progress("waiting for outcomes", total) as bar:
            while open_:
                there = set(await self._replies.numbers(self.run)) & open_
                for place in sorted(there):
                    reply = await self._replies.read(place)
                    if reply is None:
                        continue
                    known[place] = reply
                    if reply.is_final:
                        open_.discard(place)
                bar.to(_sentence(known.values()), total - len(open_))
                if not open_ or time.monotonic() > until:
                    break
                await pause(POLL)
        return known

    async def forget(self) -> None:
        await self._replies.forget(self.run)


def _sentence(replies: Iterable[Reply]) -> str:
    counts = Counter(
        f"{WORDS.get(each.outcome, each.outcome)}"
        + (f" ({each.reason})" if each.outcome == WAITING else "")
        for each in replies
    )
    return ", ".join(f"{count} {words}" for words, count in counts.items())


def told(reply: Reply | None) -> str:
    """One outcome for people."""
    if reply is None:
        return "no answer yet"
    words = WORDS.get(reply.outcome, reply.outcome)
    if reply.outcome == "synced":
        return f"{words} ({reply.reason})"
    if reply.reason == COALESCED:
        return "handled together with another change of the record"
    if reply.outcome == WAITING and reply.delay is not None:
        return f"{words}: {reply.reason}, next try in {reply.delay:.0f} s"
    return f"{words}: {reply.reason}" if reply.reason and reply.outcome != "parked" else words
