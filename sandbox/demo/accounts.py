"""Accounts become customers, through an outage, throttling, lost answers and mistakes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from sandbox import verification
from sandbox.demo.scene import Scene
from sandbox.salesforce.generate import generate_accounts

if TYPE_CHECKING:
    from sandbox.demo.stage import Row


class AccountScene(Scene):
    title = "accounts"
    trigger = "messages and JSON events"
    flows = ("accounts",)

    async def run(self) -> None:
        await self.stage.sandbox.subscribe("Account", kind="outbound-message")
        rows = generate_accounts(60, self.stage.seed)
        await self.create(rows[:40])
        await self.stage.settled()
        await self.change(20, times=2)
        await self.stage.settled()
        await self.disorder(15)
        await self.outage(rows[40:50])
        await self.stage.settled()
        await self.throttle(8)
        await self.stage.settled()
        await self.lost_answers(rows[50:55])
        await self.json_events(rows[55:58])
        await self.refused(rows[58:])
        await self.undecodable()
        await self.stage.settled()

    async def create(self, rows: list[Row]) -> None:
        self.stage.accounts += await self.stage.insert("Account", *rows)

    async def change(self, count: int, times: int = 1) -> None:
        dice = self.stage.dice
        chosen = dice.sample(self.stage.accounts, count)
        for number in range(times):
            for key in chosen:
                await self.stage.update(
                    "Account",
                    key,
                    Phone=f"+49 30 {dice.randrange(10**6):06d}",
                    BillingStreet=f"Neue Straße {dice.randrange(1, 99)}\nTor {number}",
                )

    async def disorder(self, count: int) -> None:
        """Events twice and out of order."""
        rules = {"duplicate_share": 0.3, "shuffle": True, "seed": self.stage.dice.randrange(1000)}
        await self.stage.salesforce("PUT", "delivery", rules)
        await self.change(count)
        await self.stage.settled()
        await self.stage.salesforce("PUT", "delivery", {})

    async def outage(self, rows: list[Row]) -> None:
        """F&O is down for 3 seconds."""
        html = "<html><body>503 Service Unavailable</body></html>"
        await self.stage.faults("d365", {"status": 503, "body": html, "count": None})
        await self.create(rows)
        await asyncio.sleep(3)
        await self.stage.faults("d365")

    async def throttle(self, count: int) -> None:
        fault = {"status": 429, "headers": {"Retry-After": "1"}, "body": {}, "count": 4}
        await self.stage.faults("d365", fault)
        await self.change(count)

    async def lost_answers(self, rows: list[Row]) -> None:
        """F&O carries the batch out, but the connection is cut before the answer."""
        match = {"method": "POST", "path": r"\$batch"}
        await self.stage.faults("d365", {"match": match, "drop": "after", "count": 1})
        await self.create(rows)
        await self.stage.settled()

    async def json_events(self, rows: list[Row]) -> None:
        """Callouts are repeated by hand or by Apex; the second one changes nothing."""
        keys = await self.stage.insert("Account", *rows, events=False)
        self.stage.accounts += keys
        sandbox = self.stage.sandbox
        event = {
            "eventId": f"demo-{self.stage.dice.randrange(10**9)}",
            "orgId": sandbox.salesforce.org_id,
            "entity": "Account",
            "changeType": "CREATE",
            "recordIds": keys,
        }
        for _ in range(2):
            answer = await sandbox.post_event(event)
            if answer.status_code != 202:
                raise RuntimeError(f"the webhook answered {answer.status_code}: {answer.text}")

    async def refused(self, rows: list[Row]) -> None:
        """One that F&O refuses, one that cannot be mapped."""
        wrong_state = {**rows[0], "BillingCountry": "USA", "BillingState": "ZZ"}
        no_country = {**rows[1], "BillingCountry": "Atlantis"}
        keys = await self.stage.insert("Account", wrong_state, no_country)
        self.stage.refused_accounts += keys
        self.stage.letters[keys[0]] = ("failed", "foreign-key")
        self.stage.letters[keys[1]] = ("failed", "mapping")

    async def undecodable(self) -> None:
        await self.stage.sandbox.send_raw(b"not a hint", session="bucket-000")
        self.own.dead_letters += 1

    async def problems(self) -> list[str]:
        found = await verification.differences(
            self.stage.sandbox, without=self.stage.refused_accounts
        )
        unreadable = [
            each for each in self.stage.sandbox.dead_letters() if each["kind"] == "undecodable"
        ]
        if len(unreadable) != 1:
            found.append(f"{len(unreadable)} undecodable messages are kept, should be 1")
        if not self.tally.retried:
            found.append("the outage delayed nothing")
        return found + self.counted(records=60, synced=58, dead_letters=3)
