"""`make demo`: accounts travel from Salesforce to F&O and their numbers back, through outages and mistakes.

Every step goes the way of production: a change in Salesforce, its push to the webhook, Service Bus, the
unmodified app, F&O, Salesforce. At the end both sides are read back and compared field by field.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sandbox import verification
from sandbox.salesforce.generate import generate_accounts
from sandbox.stack import Sandbox

REFUSED = "refused by F&O"
NO_COUNTRY = "no such country"


@dataclass
class Step:
    """One row of the result table."""

    title: str
    records: int
    seconds: float = 0.0
    salesforce_calls: int = 0
    d365_calls: int = 0
    dead_letters: int = 0


@dataclass
class Demo:
    sandbox: Sandbox
    console: Console
    dice: random.Random
    accounts: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    expected_letters: dict[str, str] = field(default_factory=dict)  # key → reason

    async def run(self, seed: int) -> None:
        await self.sandbox.subscribe("Account", kind="outbound-message")
        rows = generate_accounts(60, seed)
        await self.step("40 accounts created", 40, self.create(rows[:40]))
        await self.step("20 of them changed, two changes each", 20, self.change(20, times=2))
        await self.step("events twice and out of order", 15, self.disorder(15))
        await self.step(
            "10 accounts created while F&O is down for 3 s", 10, self.outage(rows[40:50])
        )
        await self.step("8 accounts changed while F&O throttles", 8, self.throttle(8))
        await self.step(
            "5 accounts created, F&O answers get lost", 5, self.lost_answers(rows[50:55])
        )
        await self.step(
            "3 accounts created by signed JSON events", 3, self.json_events(rows[55:58])
        )
        await self.step(
            "one account that F&O refuses, one with no country", 2, self.refused(rows[58:])
        )
        await self.step("one message that nobody can read", 1, self.undecodable())

    async def step(self, title: str, records: int, work: Any) -> None:
        step = Step(title, records)
        letters = len(self.sandbox.dead_letters())
        for system in (self.sandbox.salesforce, self.sandbox.d365):
            system.control.calls.clear()
        started = time.monotonic()
        await work
        await self.sandbox.settled(60)
        step.seconds = time.monotonic() - started
        step.salesforce_calls = self.sandbox.salesforce.control.calls.total()
        step.d365_calls = self.sandbox.d365.control.calls.total()
        step.dead_letters = len(self.sandbox.dead_letters()) - letters
        self.steps.append(step)
        self.console.print(f"  [green]done[/] {title} [dim]({step.seconds:.1f} s)[/]")

    # What happens in Salesforce and around it

    async def create(self, rows: list[dict[str, Any]]) -> None:
        self.accounts += await self._insert(rows)

    async def change(self, count: int, times: int = 1) -> None:
        chosen = self.dice.sample(self.accounts, count)
        for number in range(times):
            for key in chosen:
                await self._update(
                    key,
                    {
                        "Phone": f"+49 30 {self.dice.randrange(10**6):06d}",
                        "BillingStreet": f"Neue Straße {self.dice.randrange(1, 99)}\nTor {number}",
                    },
                )

    async def disorder(self, count: int) -> None:
        await self._delivery(duplicate_share=0.3, shuffle=True, seed=self.dice.randrange(1000))
        await self.change(count)
        await self._delivery()

    async def outage(self, rows: list[dict[str, Any]]) -> None:
        html = "<html><body>503 Service Unavailable</body></html>"
        await self._faults("d365", {"status": 503, "body": html, "count": None})
        self.accounts += await self._insert(rows)
        await asyncio.sleep(3)
        await self._faults("d365")

    async def throttle(self, count: int) -> None:
        fault = {"status": 429, "headers": {"Retry-After": "1"}, "body": {}, "count": 4}
        await self._faults("d365", fault)
        await self.change(count)

    async def lost_answers(self, rows: list[dict[str, Any]]) -> None:
        """F&O carries the batch out, but the connection is cut before the answer."""
        match = {"method": "POST", "path": r"\$batch"}
        await self._faults("d365", {"match": match, "drop": "after", "count": 1})
        self.accounts += await self._insert(rows)

    async def json_events(self, rows: list[dict[str, Any]]) -> None:
        keys = await self._insert(rows, events=False)
        self.accounts += keys
        event = {
            "eventId": f"demo-{self.dice.randrange(10**9)}",
            "orgId": self.sandbox.salesforce.org_id,
            "entity": "Account",
            "changeType": "CREATE",
            "recordIds": keys,
        }
        for _ in range(2):  # callouts are repeated by hand or by Apex; the second changes nothing
            answer = await self.sandbox.post_event(event)
            if answer.status_code != 202:
                raise RuntimeError(f"the webhook answered {answer.status_code}: {answer.text}")

    async def refused(self, rows: list[dict[str, Any]]) -> None:
        wrong_state = {**rows[0], "BillingCountry": "USA", "BillingState": "ZZ"}
        no_country = {**rows[1], "BillingCountry": "Atlantis"}
        keys = await self._insert([wrong_state, no_country])
        self.expected_letters = {keys[0]: "foreign-key", keys[1]: "mapping"}

    async def undecodable(self) -> None:
        await self.sandbox.send_raw(b"not a hint", session="bucket-000")

    # The result

    async def problems(self) -> list[str]:
        found = await verification.differences(self.sandbox, without=self.expected_letters)
        letters = self.sandbox.dead_letters()
        got = {letter["hint"]["key"]: letter["reason"] for letter in letters if letter["hint"]}
        if got != self.expected_letters:
            found.append(f"dead letters are {got}, should be {self.expected_letters}")
        unreadable = [letter for letter in letters if letter["kind"] == "undecodable"]
        if len(unreadable) != 1:
            found.append(f"{len(unreadable)} undecodable messages are kept, should be 1")
        return found

    def show(self) -> None:
        table = Table(title="What happened")
        for heading in (
            "step",
            "records",
            "seconds",
            "Salesforce calls",
            "F&O calls",
            "dead letters",
        ):
            table.add_column(heading, justify="left" if heading == "step" else "right")
        for step in self.steps:
            table.add_row(
                step.title,
                str(step.records),
                f"{step.seconds:.1f}",
                str(step.salesforce_calls),
                str(step.d365_calls),
                str(step.dead_letters or ""),
            )
        self.console.print(table)
        letters = Table(title="Queue dead-letter: kept for a person, with the reason")
        for heading in ("kind", "record", "reason", "description"):
            letters.add_column(heading, overflow="fold")
        for letter in self.sandbox.dead_letters():
            key = letter["hint"]["key"] if letter["hint"] else "-"
            letters.add_row(letter["kind"], key, letter["reason"], escape(letter["description"]))
        self.console.print(letters)

    async def show_sample(self) -> None:
        customers = await verification.rows(self.sandbox, "d365", "CustomersV3")
        table = Table(title=f"{len(customers)} customers in F&O, for example")
        fields = ("CustomerAccount", "OrganizationName", "AddressCity", "AddressCountryRegionId")
        for heading in (*fields, "SalesforceAccountId"):
            table.add_column(heading)
        for customer in customers[:5]:
            table.add_row(
                *(escape(str(customer[name])) for name in (*fields, "SalesforceAccountId"))
            )
        self.console.print(table)

    # Means

    async def _insert(self, rows: list[dict[str, Any]], *, events: bool = True) -> list[str]:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/Account"
        answer = await self.sandbox.http.post(
            url, json=rows, params={} if events else {"events": "false"}
        )
        answer.raise_for_status()
        return list(answer.json()["ids"])

    async def _update(self, key: str, fields: dict[str, Any]) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/Account/{key}"
        (await self.sandbox.http.patch(url, json=fields)).raise_for_status()

    async def _delivery(self, **rules: Any) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/delivery"
        (await self.sandbox.http.put(url, json=rules)).raise_for_status()

    async def _faults(self, system: str, *faults: dict[str, Any]) -> None:
        """These and no others."""
        url = f"{getattr(self.sandbox, system).url}/sandbox/faults"
        await self.sandbox.http.delete(url)
        if faults:
            (await self.sandbox.http.post(url, json=list(faults))).raise_for_status()


async def run_demo(*, seed: int, verbose: bool) -> int:
    """Returns the exit code: 0 when every field of every record is right."""
    console = Console(soft_wrap=False, width=120 if not Console().is_terminal else None)
    console.print("Starting Salesforce, F&O, Entra, Service Bus, Blob storage and the app …")
    started = time.monotonic()
    async with Sandbox(echo=verbose) as sandbox:
        console.print(f"  [green]up[/] [dim]({time.monotonic() - started:.1f} s)[/]")
        demo = Demo(sandbox, console, random.Random(seed))
        await demo.run(seed)
        problems = await demo.problems()
        demo.show()
        await demo.show_sample()
        if problems and not verbose and sandbox.app:
            console.print("The app's last warnings:")
            for line in list(sandbox.app.errors)[-20:]:
                console.print(f"  {escape(line)}", highlight=False)
    took = time.monotonic() - started
    if problems:
        console.print(f"[red]WRONG[/]: {len(problems)} differences ({took:.0f} s)")
        for problem in problems[:50]:
            console.print(f"  {escape(problem)}", highlight=False)
        return 1
    count = len(demo.accounts)
    console.print(
        f"[green]RIGHT[/]: {count} accounts are {count} customers, every field equal, every number written"
        f" back, nothing lost, nothing doubled ({took:.0f} s)"
    )
    return 0
