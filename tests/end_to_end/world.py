"""A running sandbox with the words the end-to-end tests speak in.

Tests share one world per module. Each makes accounts of its own and looks at those alone; `calm` takes
back every fault between them.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sandbox import topology
from sandbox.salesforce.pubsub.rules import Rules as PubSubRules
from sandbox.salesforce.subscriptions import Rules
from sandbox.stack import Sandbox
from tests.end_to_end.wiretap import Wiretap

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import httpx

DOWN = {
    "status": 503,
    "body": "<html><body>503 Service Unavailable</body></html>",
    "count": None,
}


@asynccontextmanager
async def new_world(kind: str = "json", **settings: str) -> AsyncIterator[World]:
    """Started, with Salesforce telling the app of accounts by `kind`."""
    sandbox = Sandbox(settings=settings)
    world = World(sandbox)
    async with sandbox:
        await sandbox.subscribe("Account", kind=kind)
        yield world


class World:
    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.salesforce = Wiretap(sandbox.salesforce.app)
        self.d365 = Wiretap(sandbox.d365.app)
        self.entra = Wiretap(sandbox.entra.app)
        sandbox.salesforce.app = self.salesforce
        sandbox.d365.app = self.d365
        sandbox.entra.app = self.entra
        self._settings: dict[str, str] = {}

    # Salesforce

    async def create(self, *, events: bool = True, **fields: Any) -> str:
        return (await self.create_many(1, events=events, **fields))[0]

    async def create_many(self, count: int, *, events: bool = True, **fields: Any) -> list[str]:
        rows = [account(**fields) for _ in range(count)]
        url = f"{self.sandbox.salesforce.url}/sandbox/state/Account"
        params = {} if events else {"events": "false"}
        answer = await self.sandbox.http.post(url, json=rows, params=params)
        answer.raise_for_status()
        return list(answer.json()["ids"])

    async def create_settled(self, **fields: Any) -> str:
        """An account whose customer exists; the calls so far are forgotten."""
        key = await self.create(**fields)
        await self.settled()
        assert (await self.account(key)).get("D365_Customer_Number__c"), self.story(key)
        self.forget_calls()
        return key

    async def change(self, key: str, *, events: bool = True, **fields: Any) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/Account/{key}"
        params = {} if events else {"events": "false"}
        (await self.sandbox.http.patch(url, json=fields, params=params)).raise_for_status()

    async def delete(self, key: str) -> None:
        url = f"{self.sandbox.salesforce.url}/sandbox/state/Account/{key}"
        (await self.sandbox.http.delete(url)).raise_for_status()

    async def merge(self, loser: str, master: str) -> None:
        """The loser is deleted and names its master, as after a merge by a person."""
        await self.delete(loser)
        org = self.sandbox.salesforce.org
        org.store.put(
            "Account", {**org.store.tables["Account"].bin[loser], "MasterRecordId": master}
        )
        org.commit()

    async def account(self, key: str) -> dict[str, Any]:
        rows = await self._rows("salesforce", "Account", Id=key)
        assert len(rows) == 1, key
        return rows[0]

    def event(self, *keys: str, event_id: str | None = None) -> dict[str, Any]:
        """What Apex sends when accounts changed."""
        return {
            "eventId": event_id or str(uuid.uuid4()),
            "orgId": self.sandbox.salesforce.org_id,
            "entity": "Account",
            "changeType": "UPDATE",
            "recordIds": list(keys),
        }

    async def tell(self, *keys: str) -> None:
        """Tells the app that these accounts changed."""
        answer = await self.sandbox.post_event(self.event(*keys))
        assert answer.status_code == 202, answer.text

    # F&O

    async def customers(self, key: str) -> list[dict[str, Any]]:
        """Those that carry the account's id, in every company."""
        return await self._rows("d365", "CustomersV3", filter_=f"SalesforceAccountId eq '{key}'")

    async def customer(self, key: str) -> dict[str, Any]:
        found = await self.customers(key)
        assert len(found) == 1, f"{key} has {len(found)} customers"
        return found[0]

    async def add_customer(self, **fields: Any) -> None:
        """As if a person had made it in F&O."""
        row = {
            "dataAreaId": "usmf",
            "OrganizationName": "Made in F&O",
            "PartyType": "Organization",
            "CustomerGroupId": "30",
            "SalesCurrencyCode": "USD",
            **fields,
        }
        await self.put("d365", "state/CustomersV3", row, method="POST")

    async def is_in_step(self, *keys: str) -> bool:
        """Each has one customer with its name, and holds its number; none is a dead letter."""
        for key in keys:
            account, customers = await self.account(key), await self.customers(key)
            assert [row["OrganizationName"] for row in customers] == [account["Name"]], key
            number = account.get("D365_Customer_Number__c")
            assert number == customers[0]["CustomerAccount"], key
        assert self.letters(*keys) == []
        return True

    async def change_customer(self, key: str, **fields: Any) -> None:
        """As if a person had changed it in F&O."""
        row = await self.customer(key)
        kept = {name: value for name, value in row.items() if not name.startswith("@")}
        await self.add_customer(**{**kept, **fields})

    # Queues

    def letters(self, *keys: str) -> list[dict[str, Any]]:
        """Dead letters of these records."""
        found = self.sandbox.dead_letters()
        return [letter for letter in found if letter["hint"] and letter["hint"]["key"] in keys]

    def letter(self, key: str) -> dict[str, Any]:
        found = self.letters(key)
        assert len(found) == 1, f"{key} has {len(found)} dead letters"
        return found[0]

    def waiting(self, *keys: str) -> list[dict[str, Any]]:
        """Hints of these records that are on the queue `changes`, in whatever state."""
        found = []
        for message in self.sandbox.broker.peek(topology.CHANGES):
            hint = json.loads(message.body)
            if hint.get("key") in keys:
                found.append({**hint, "state": message.state})
        return found

    def totals(self) -> dict[str, int]:
        return dict(self.sandbox.broker.snapshot()["queues"][topology.CHANGES]["totals"])

    async def settled(self, timeout: float = 30) -> None:
        try:
            await self.sandbox.settled(timeout, quiet=0.15)
        except TimeoutError:
            counts = self.sandbox.broker.counts()[topology.CHANGES]
            raise AssertionError(f"not settled: {counts}, {self._app_said()}") from None

    def story(self, key: str) -> str:
        """What is known of a record that did not arrive, for the message of a failed check."""
        told = self.sandbox.salesforce.outbound.state()
        calls = [
            f"{call.method} {call.path}"
            for tap in (self.salesforce, self.d365)
            for call in tap.calls
        ]
        return (
            f"{key}: dead letters {self.letters(key)}, notifications {told}, queue {self.totals()}, "
            f"calls {calls[-20:]}, {self._app_said()}"
        )

    def _app_said(self) -> str:
        app = self.sandbox.app
        return "the app said:\n" + "\n".join(list(app.errors)[-10:] if app else ())

    async def until_found(
        self, find: Callable[[], Awaitable[list[dict[str, Any]]]], timeout: float = 20
    ) -> None:
        """Until there are such rows."""
        async with asyncio.timeout(timeout):
            while not await find():  # noqa: ASYNC110 - the stand-ins tell nobody
                await asyncio.sleep(0.1)

    async def until(self, condition: Callable[[], bool], timeout: float = 15) -> None:
        async with asyncio.timeout(timeout):
            while True:
                if condition():
                    return
                await asyncio.sleep(0.02)

    # Trouble

    async def fault(self, system: str, **fault: Any) -> None:
        """See `sandbox.web` for the members."""
        await self.put(system, "faults", fault, method="POST")

    async def no_faults(self) -> None:
        for system in ("salesforce", "d365"):
            await self.put(system, "faults", None, method="DELETE")
        self.sandbox.entra.control.faults.clear()

    async def put(self, system: str, route: str, body: Any, *, method: str = "PUT") -> Any:
        """Calls a `/sandbox/…` route of a stand-in."""
        url = f"{getattr(self.sandbox, system).url}/sandbox/{route}"
        answer = await self.sandbox.http.request(method, url, json=body)
        assert answer.is_success, answer.text
        return answer.json()

    async def calm(self) -> None:
        """Takes back everything that `put` and `fault` switched on, and waits for the queue to drain."""
        await self.no_faults()
        await self.put("d365", "throttle", {})
        await self.put("d365", "late-commit", {"count": 0})
        await self.put("d365", "update-conflicts", {"CustomersV3": 0})
        await self.put("salesforce", "quota", {"max": 100_000, "used": 0})
        await self.put("salesforce", "validation-rules", [])
        await self.put("salesforce", "delivery", Rules().__dict__)
        await self.put("salesforce", "pubsub", PubSubRules().__dict__)
        self.sandbox.broker.resume(topology.CHANGES)
        for queue in (topology.CHANGES, topology.DEAD_LETTER):
            self.sandbox.broker._hub(queue).refusals.clear()
        await self.settled()
        self.forget_calls()

    def forget_calls(self) -> None:
        for tap in (self.salesforce, self.d365, self.entra):
            tap.calls.clear()

    async def run_with(self, **settings: str) -> None:
        """Starts the app again with these settings beside the sandbox's own, unless it has them."""
        app = self.sandbox.app
        if settings == self._settings and app is not None and app.running:
            return
        await self.restart(**settings)

    async def restart(self, **settings: str) -> None:
        """A scale-in and a start, with these settings."""
        await self.sandbox.stop_app()
        self._settings = settings
        await self.sandbox.start_app(settings)

    async def _rows(
        self, system: str, name: str, filter_: str = "", **equal: str
    ) -> list[dict[str, Any]]:
        url = f"{getattr(self.sandbox, system).url}/sandbox/state/{name}"
        params = {"$filter": filter_} if filter_ else equal
        answer: httpx.Response = await self.sandbox.http.get(url, params=params)
        answer.raise_for_status()
        return list(answer.json())


def account(**fields: Any) -> dict[str, Any]:
    """A row that F&O accepts; every name is used once."""
    return {
        "Name": f"Tölzer & Söhne {uuid.uuid4().hex[:8]}",
        "BillingStreet": "Marktstraße 1\nHinterhaus",
        "BillingCity": "Bad Tölz",
        "BillingPostalCode": "83646",
        "BillingCountry": "Germany",
        "Phone": "+49 8041 123456",
        "Website": "https://www.toelzer.example",
        "CurrencyIsoCode": "EUR",
        **fields,
    }
