"""Salesforce and F&O as tables, with the flows that know of deletes and merges between them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any, cast

from integration.errors import RecordBusy
from integration.flows.accounts import AccountFlow
from integration.flows.contacts import ContactFlow
from integration.flows.context import FlowContext
from integration.flows.engine import converge
from integration.flows.gone.flow import GoneFlow
from integration.flows.gone.holders import CustomersOfAccounts, PersonsOfContacts
from integration.flows.outcomes import Failed, Moved, Outcome, RecordMerged
from integration.mapping.customisation import load_customisation
from integration.recovery.decisions import EndState, decide
from integration.settings.gone import GoneSettings
from integration.state.aliases import Aliases
from integration.state.gone import GoneNotes
from integration.state.intents import CreateIntents
from tests.unit.account_support import BUCKET, NUMBER_FIELD, settings_of
from tests.unit.contact_support import TwoObjects, TwoSets
from tests.unit.state_support import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.d365.client import D365Client
    from integration.salesforce.client import SalesforceClient

_WHERE = re.compile(r"FROM (\w+) WHERE (\w+) IN \(([^)]*)\)")


class Org(TwoObjects):
    """With a recycle bin, and times that go on with every change."""

    def __init__(self) -> None:
        super().__init__()
        self.bin: dict[str, dict[str, dict[str, Any]]] = {"Account": {}, "Contact": {}}
        self._time = 0

    def stamp(self) -> str:
        self._time += 1
        return f"2025-03-01T12:{self._time // 60:02}:{self._time % 60:02}.000+0000"

    def delete(self, name: str, key: str, master: str | None = None) -> None:
        row = self.tables[name].pop(key)
        gone = {"IsDeleted": True, "MasterRecordId": master, "SystemModstamp": self.stamp()}
        self.bin[name][key] = {**row, **gone}

    def undelete(self, name: str, key: str) -> None:
        """A unique value that somebody else holds by now is lost."""
        row = self.bin[name].pop(key)
        field = NUMBER_FIELD if name == "Account" else "D365_Contact_Number__c"
        if any(other[field] == row[field] for other in self.tables[name].values()):
            row[field] = None
        kept = {n: v for n, v in row.items() if n not in ("IsDeleted", "MasterRecordId")}
        self.tables[name][key] = {**kept, "SystemModstamp": self.stamp()}

    def merge(self, name: str, loser: str, master: str) -> None:
        self.delete(name, loser, master)
        self.tables[name][master]["SystemModstamp"] = self.stamp()
        if name == "Account":
            for contact in self.tables["Contact"].values():
                if contact["AccountId"] == loser:
                    contact["AccountId"] = master

    async def query(
        self, soql: str, *, include_deleted: bool = False
    ) -> AsyncIterator[dict[str, Any]]:
        assert include_deleted
        self.calls["query"] += 1
        found = _WHERE.search(soql)
        assert found is not None, soql
        name, field, values = found[1], found[2], re.findall(r"'([^']*)'", found[3])
        live = [{**row, "IsDeleted": False} for row in self.tables[name].values()]
        for row in [*live, *self.bin[name].values()]:
            if row.get(field) in values:
                yield {"MasterRecordId": None, **row}


class GoneWorld:
    """`told`: the reviews that were kept, as (key, reason); `others`: what ended otherwise."""

    def __init__(self, *, mapping: str | None = None, **settings: str) -> None:
        """`settings` of the group, such as accounts="block"."""
        self.org, self.d365, self.store = Org(), TwoSets(), MemoryStore()
        self.now = datetime(2025, 3, 1, 12, tzinfo=UTC)
        self.reviews: list[tuple[str, EndState]] = []
        app = settings_of().model_copy(update={"gone": GoneSettings(**settings)})  # type: ignore[arg-type]
        self.aliases = Aliases(self.store, cache=0)
        self.notes = GoneNotes(self.store, cache=0)
        self.context = FlowContext(
            app,
            load_customisation(mapping),
            cast("SalesforceClient", self.org),
            cast("D365Client", self.d365),
            CreateIntents(self.store, quarantine=app.app.create_quarantine, clock=lambda: self.now),
            aliases=self.aliases,
            gone=self.notes,
        )
        accounts = AccountFlow(self.context)
        contacts = ContactFlow(self.context, accounts)
        self.flows = {
            "Account": GoneFlow(
                accounts, CustomersOfAccounts(self.context), self.context, self.notes,
                self.aliases, clock=lambda: self.now,
            ),
            "Contact": GoneFlow(
                contacts, PersonsOfContacts(self.context), self.context, self.notes,
                clock=lambda: self.now,
            ),
        }  # fmt: skip

    def account(self, key: str, number: str | None = None, **values: Any) -> None:
        """With a customer of this number, if there is one."""
        name = f"Company {key[5:15]}"
        fields = {"Name": name, "CurrencyIsoCode": "EUR", NUMBER_FIELD: number, **values}
        self.org.add("Account", key, **fields)
        if number:
            self.d365.add_customer(number, key, OrganizationName=name, OnHoldStatus="No")

    def contact(self, key: str, account: str, number: str | None = None, **values: Any) -> None:
        row = {"AccountId": account, "LastName": f"Lee {key[5:15]}", **values}
        self.org.add("Contact", key, **{**row, "D365_Contact_Number__c": number})
        if number:
            party = next(
                row["PartyNumber"]
                for row in self.customers()
                if row["SalesforceAccountId"] == account
            )
            own = {"LastName": row["LastName"], "IsInactive": "No"}
            self.d365.add_person(number, party, key, **own)

    def customers(self, account: str | None = None) -> list[dict[str, Any]]:
        rows = self.d365.tables["CustomersV3"]
        return [row for row in rows if account in (None, row["SalesforceAccountId"])]

    def customer(self, account: str) -> dict[str, Any]:
        [row] = self.customers(account)
        return row

    def reasons(self, key: str) -> list[str]:
        return [end.reason for each, end in self.reviews if each == key]

    async def outcome(self, key: str, name: str = "Account") -> Outcome:
        return (await converge(self.flows[name], {key: BUCKET}))[key]

    async def tell(self, *keys: str, name: str = "Account") -> Outcome:
        """Hints handled to their ends, as the dispatcher does; the last outcome of the first key."""
        outcomes = await converge(self.flows[name], dict.fromkeys(keys, BUCKET))
        for key, outcome in outcomes.items():
            if isinstance(outcome, Moved):
                assert outcome.key != key, "a circle"
                outcomes[key] = await self.tell(outcome.key, name=name)
            elif isinstance(outcome, Failed):
                if isinstance(outcome.error, RecordBusy) and len(keys) > 1:
                    outcomes[key] = await self.tell(key, name=name)  # its next attempt
                else:
                    await self._end(key, outcome.error, name)
        return outcomes[keys[0]]

    async def _end(self, key: str, error: Exception, name: str) -> None:
        if isinstance(error, RecordMerged):
            await self.tell(error.follow.key, name=name)
        flow = self.flows[name]
        end = decide(
            error, attempt=9, put_backs=0, age=timedelta(0), policy=flow.policy, random=Random(1)
        )
        if not isinstance(end, EndState):
            raise error
        self.reviews.append((key, end))
        await flow.kept(key, end)
