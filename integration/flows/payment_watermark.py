"""Where a run of the payments job begins, and what it leaves behind when all of its work is done.

Blob `payments/watermark.json`: {"confirmed_at","full_at"}, when the last confirmed run and the last confirmed
full comparison began.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from integration.flows.payment_reading import Window

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.jobs.job import Position
    from integration.settings import PaymentSettings
    from integration.state.fingerprints import ChunkStore

_NAME = "payments/watermark.json"
TRANSACTIONS = "transactions"  # the first phase


class Watermark:
    def __init__(
        self, store: ChunkStore, settings: PaymentSettings, clock: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    async def beginning(self, params: Position, *, dry: bool) -> Position:
        """One moment counts for the whole run, also beyond midnight."""
        now, mark = self._clock(), await self._read()
        confirmed = datetime.fromisoformat(mark["confirmed_at"]) if mark else now
        since = confirmed.date() - timedelta(days=self._settings.overlap_days)
        return {
            "phase": TRANSACTIONS,
            "full": dry or params.get("full") is True or self._full_is_due(mark, now),
            "started_at": now.isoformat(),
            "settled_from": since.isoformat(),
            "chunk": "",
            "from": "",
            "seen": 0,
        }

    def window(self, position: Position) -> Window:
        today = datetime.fromisoformat(position["started_at"]).date()
        paid_from = today - timedelta(days=self._settings.paid_days)
        return Window(today, date.fromisoformat(position["settled_from"]), paid_from)

    async def confirm(self, position: Position) -> None:
        mark = await self._read()
        mark["confirmed_at"] = position["started_at"]
        if position["full"]:
            mark["full_at"] = position["started_at"]
        await self._store.write(_NAME, json.dumps(mark).encode())

    async def _read(self) -> dict[str, str]:
        document = await self._store.read(_NAME)
        return dict(json.loads(document.body)) if document else {}

    def _full_is_due(self, mark: dict[str, str], now: datetime) -> bool:
        due = now.replace(hour=self._settings.full_hour, minute=0, second=0, microsecond=0)
        due -= timedelta(days=1 if due > now else 0)
        return "full_at" not in mark or datetime.fromisoformat(mark["full_at"]) < due
