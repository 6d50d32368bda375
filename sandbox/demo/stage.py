"""What the scenes of the demo share: the running sandbox, and what people and timers do in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox import verification
from sandbox.stack import MASTER_KEY

if TYPE_CHECKING:
    import random

    from sandbox.demo.logbook import Entry, LogBook
    from sandbox.stack import Sandbox

Row = dict[str, Any]


@dataclass
class Stage:
    """`accounts`: those that must have a customer. `letters`: key → (kind, reason) of every dead letter
    that must be there. `posted`: what F&O answered when invoices were posted."""

    sandbox: Sandbox
    log: LogBook
    seed: int
    dice: random.Random
    accounts: list[str] = field(default_factory=list)
    refused_accounts: list[str] = field(default_factory=list)
    letters: dict[str, tuple[str, str]] = field(default_factory=dict)
    orders: list[str] = field(default_factory=list)
    posted: list[Row] = field(default_factory=list)

    # Salesforce

    async def insert(self, name: str, *rows: Row, events: bool = True) -> list[str]:
        params = {} if events else {"events": "false"}
        answer = await self._call("salesforce", "POST", f"state/{name}", list(rows), params)
        return list(answer["ids"])

    async def update(self, name: str, key: str, *, events: bool = True, **fields: Any) -> None:
        params = {} if events else {"events": "false"}
        await self._call("salesforce", "PATCH", f"state/{name}/{key}", fields, params)

    # F&O

    async def d365(self, method: str, route: str, body: Any) -> Any:
        """Calls a `/sandbox/…` route of the F&O stand-in."""
        return await self._call("d365", method, route, body)

    async def salesforce(self, method: str, route: str, body: Any) -> Any:
        return await self._call("salesforce", method, route, body)

    async def faults(self, system: str, *faults: Row) -> None:
        """These and no others."""
        await self._call(system, "DELETE", "faults", None)
        if faults:
            await self._call(system, "POST", "faults", list(faults))

    async def rows(self, system: str, name: str) -> list[Row]:
        return await verification.rows(self.sandbox, system, name)

    async def customers(self) -> dict[str, Row]:
        """By account id."""
        found = await self.rows("d365", "CustomersV3")
        return {row["SalesforceAccountId"]: row for row in found if row["SalesforceAccountId"]}

    # The app

    async def timer(self, function: str, kind: str) -> tuple[Entry, float]:
        """Fires a timer by hand and waits for the end of its job; its last line, and how long it took."""
        since = self.log.mark()
        answer = await self.sandbox.http.post(
            f"{self.sandbox.app_url}/admin/functions/{function}",
            headers={"x-functions-key": MASTER_KEY},
            json={"input": ""},
        )
        if answer.status_code != 202:
            raise RuntimeError(f"the timer {function} answered {answer.status_code}: {answer.text}")
        started = await self.log.wait_for("job started", since, kind=kind)
        ended = await self.log.wait_for("job ended", since, kind=kind)
        if ended.get("status") != "done":
            raise RuntimeError(f"the job {kind} ended as {ended.text}")
        return ended, ended.at - started.at

    async def settled(self, timeout: float = 40) -> None:
        """Raises TimeoutError."""
        await self.sandbox.settled(timeout, quiet=0.25)

    async def _call(
        self, system: str, method: str, route: str, body: Any, params: Row | None = None
    ) -> Any:
        url = f"{getattr(self.sandbox, system).url}/sandbox/{route}"
        answer = await self.sandbox.http.request(method, url, json=body, params=params or {})
        if not answer.is_success:
            raise RuntimeError(f"{method} {route} answered {answer.status_code}: {answer.text}")
        return answer.json()
