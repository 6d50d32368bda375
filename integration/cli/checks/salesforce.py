"""Asks Salesforce what the checks compare: who the app is there, what it sees, what is left."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from integration.cli.checks.change_events import check_channels
from integration.cli.checks.check import Check, Probe, ok
from integration.cli.checks.clock import judge_clock
from integration.cli.checks.needs import mapped_accounts
from integration.cli.checks.salesforce_judging import (
    Described,
    judge_books,
    judge_budget,
    judge_features,
    judge_instance,
    judge_key,
    judge_limits,
    judge_object,
    judge_organisation,
    judge_user,
    judge_version,
)
from integration.cli.checks.salesforce_keys import key_needs
from integration.cli.checks.salesforce_needs import salesforce_needs
from integration.errors import Misconfigured, RecordError
from integration.salesforce.errors import Effect
from integration.salesforce.soql import condition, select

if TYPE_CHECKING:
    from integration.cli.checks.given import Given
    from integration.salesforce.client import SalesforceClient
    from integration.salesforce.transport import Answer

AREA = "Salesforce"
SIGN_IN = f"{AREA} sign-in"
_SIGN_IN = tuple(
    f"SALESFORCE_{name}"
    for name in (
        "LOGIN_URL", "AUTH", "CLIENT_ID", "USERNAME", "PRIVATE_KEY", "CLIENT_SECRET", "AUDIENCE",
    )
)  # fmt: skip
_OBJECTS = ("Account", "Contact", "Opportunity")  # have a flow that starts in Salesforce


@dataclass(frozen=True)
class SalesforceChecks:
    client: SalesforceClient
    given: Given

    def probes(self) -> list[Probe]:
        after, mapping = (SIGN_IN,), ("MAPPING_FILE",)
        settings = self.given.settings
        probes = [
            Probe(AREA, "sign-in", self._sign_in, settings=_SIGN_IN),
            Probe(AREA, "organisation", self._organisation, after, ("SALESFORCE_ORG_IDS",)),
            Probe(AREA, "API version", self._version, after, ("SALESFORCE_API_VERSION",)),
            Probe(AREA, "clock", self._clock, after),
            Probe(AREA, "limits", self._limits, after),
            Probe(AREA, "integration user", self._user, after),
        ]
        needs = salesforce_needs(settings, self.given.customisation)
        if "Account" in needs:
            probes.append(Probe(AREA, "features", self._features, after, mapping))
        probes += [
            Probe(AREA, f"{name} fields", self._object(name), after, mapping) for name in needs
        ]
        if "Pricebook2" in needs:
            probes.append(Probe(AREA, "price book", self._books, after, mapping))
        if settings.catch_up.enabled:
            used = ("CATCH_UP", "CATCH_UP_ENDPOINT", "CATCH_UP_CHANNELS")
            probes.append(Probe(AREA, "change events", self._channels, after, used))
        return probes

    async def _sign_in(self) -> list[Check]:
        token = await self.client.tokens.current()
        identity = await self.client.identity()
        who = f"{identity.username or identity.user_id} in organisation {identity.org_id}"
        return [ok("sign-in", who), judge_instance(token.instance_url)]

    async def _organisation(self) -> list[Check]:
        org_id = (await self.client.identity()).org_id
        return [
            ok("organisation", await self._kind()),
            judge_organisation(org_id, self.given.settings.salesforce.org_ids),
        ]

    async def _kind(self) -> str:
        try:
            soql = select("Organization", ("IsSandbox", "InstanceName", "OrganizationType"))
            [row] = await self.client.query_all_rows(soql)
        except (RecordError, Misconfigured, ValueError):
            return "what kind it is cannot be read by this user"
        kind = "sandbox" if row["IsSandbox"] else "production"
        return f"{kind}, {row['OrganizationType']}, instance {row['InstanceName']}"

    async def _versions(self) -> Answer:
        """Not counted by Salesforce."""
        return await self.client.transport.request(
            "GET", "/services/data", operation="versions", effect=Effect.READ
        )

    async def _version(self) -> list[Check]:
        versions: Any = (await self._versions()).body
        return [judge_version(versions, self.given.settings.salesforce.api_version)]

    async def _clock(self) -> list[Check]:
        asked = time.time()
        answer = await self._versions()
        return [judge_clock(answer.headers.get("date"), asked, time.time())]

    async def _limits(self) -> list[Check]:
        try:
            return judge_limits(await self.client.limits())
        except (
            RecordError,
            Misconfigured,
        ):  # needs the right View Setup (Salesforce contract 2.10)
            return [judge_budget(self.client.budget)]

    async def _user(self) -> list[Check]:
        user_id = (await self.client.identity()).user_id
        columns = ("Id", "Profile.PermissionsApiUserOnly")
        soql = select("User", columns, where=condition("Id", "=", user_id))
        try:
            rows = await self.client.query_all_rows(soql)
        except (RecordError, Misconfigured):
            rows = []
        return [judge_user(rows[0] if rows else {})]

    async def _described(self, name: str) -> Described:
        return Described.of(await self.client.describe(name))

    async def _features(self) -> list[Check]:
        table = mapped_accounts(self.given.settings, self.given.customisation).table
        return [judge_features(await self._described("Account"), table)]

    def _object(self, name: str) -> Any:
        async def check() -> list[Check]:
            settings, customisation = self.given.settings, self.given.customisation
            described = await self._described(name)
            needs = salesforce_needs(settings, customisation, {name: described.fields})[name]
            keys = [key for key in key_needs(settings, customisation) if key.object == name]
            rows = judge_object(name, described, needs)
            return rows + [row for key in keys for row in judge_key(key, described)]

        return check

    async def _books(self) -> list[Check]:
        soql = select("Pricebook2", ("Name", "IsStandard", "IsActive"))
        rows = await self.client.query_all_rows(soql)
        return judge_books(rows, self.given.customisation.prices.books)

    async def _channels(self) -> list[Check]:
        catch_up = self.given.settings.catch_up
        topics = catch_up.channels or tuple(f"/data/{name}ChangeEvent" for name in _OBJECTS)
        token = await self.client.tokens.current()
        return await check_channels(catch_up.endpoint, token, topics)
