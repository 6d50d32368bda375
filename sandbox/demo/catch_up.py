"""The webhook is down while records change, an event is lost for good, and a position expires."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.demo.logbook import counts_of
from sandbox.demo.scene import Scene

if TYPE_CHECKING:
    from sandbox.demo.stage import Stage


class CatchUpScene(Scene):
    """Five accounts change unheard; the event of a sixth is lost as well; then 72 hours pass."""

    title = "catch-up"
    trigger = "timer catch_up, 3 times"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._changed: dict[str, str] = {}
        self._healed: list[dict[str, int]] = []

    async def run(self) -> None:
        stage = self.stage
        await self._catch_up()  # what the app has seen so far
        await stage.salesforce("PUT", "delivery", {"lose_share": 1})
        *unheard, lost = stage.dice.sample(stage.accounts[:50], 6)
        for number, key in enumerate(unheard):
            await self._change(key, f"+49 8041 70{number}")
        await stage.salesforce("PUT", "pubsub", {"lose": 1})
        await self._change(lost, "+49 8041 799")
        await stage.salesforce("PUT", "pubsub", {"lose": 0})
        await stage.settled()
        await self._catch_up()
        await stage.salesforce("POST", "pubsub/expire", {})
        await self._catch_up()
        await stage.salesforce("PUT", "delivery", {"lose_share": 0})
        self.own.records = self.own.synced = sum(
            counts.get("hinted", 0) + counts.get("gap_records", 0) for counts in self._healed
        )

    async def _change(self, key: str, phone: str) -> None:
        self._changed[key] = phone
        await self.stage.update("Account", key, Phone=phone)

    async def _catch_up(self) -> None:
        ended, seconds = await self.stage.timer("catch_up_salesforce", "catch-up")
        self._healed.append(counts_of(ended))
        self.own.slowest = max(self.own.slowest, seconds)
        await self.stage.settled()

    async def problems(self) -> list[str]:
        customers = await self.stage.customers()
        found = [
            f"{key}: the changed phone did not arrive"
            for key, phone in self._changed.items()
            if customers[key]["PrimaryContactPhone"] != phone
        ]
        _, unheard, expired = self._healed
        if unheard.get("hinted") != 5:
            found.append(f"{unheard} came from the events, should be 5 hints")
        if expired.get("gaps") != 3:
            found.append(f"{expired}: should have read 3 gaps")
        return found

    def summary(self) -> str:
        _, unheard, expired = self._healed
        return (
            f"Catch-up: {unheard['hinted']} changes that no webhook delivered were read from the event"
            f" stream; its position expired, so {expired['gap_records']} records of that time were read"
            " themselves, and one change was found that no event told of."
        )
