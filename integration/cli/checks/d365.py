"""Asks F&O what the checks compare: token, environment, companies, entities, packages."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from integration.cli.checks.check import Check, Probe, Work, failed, ok, warning
from integration.cli.checks.clock import judge_clock
from integration.cli.checks.d365_judging import (
    PublicName,
    judge_columns,
    judge_companies,
    judge_numbering,
    judge_set,
    judge_token,
    judge_version,
    refused_token,
)
from integration.cli.checks.d365_needs import D365Needs
from integration.cli.problems import problem_of
from integration.d365.auth import TokenSource, build_credential, token_scope
from integration.d365.errors import Call
from integration.d365.filters import encode_option, eq, ne
from integration.d365.package_api import PackageApi
from integration.errors import (
    AuthenticationFailed,
    ContractError,
    IntegrationError,
    Misconfigured,
    RecordError,
)
from integration.flows import contact_persons, customers, sales_orders
from integration.mapping.order_tables import NUMBER as ORDER_NUMBER

if TYPE_CHECKING:
    from integration.cli.checks.given import Given
    from integration.cli.checks.needs import Needs
    from integration.d365.client import D365Client
    from integration.d365.metadata import Metadata

AREA = "F&O"
SIGN_IN, ENVIRONMENT = f"{AREA} sign-in", f"{AREA} environment"
_SIGN_IN = tuple(
    f"D365_{name}"
    for name in (
        "BASE_URL", "AUTH", "TENANT_ID", "AUTHORITY", "CLIENT_ID", "CLIENT_SECRET", "CERTIFICATE",
    )
)  # fmt: skip
_SAMPLE = 5  # records that may prove a number sequence


@dataclass(frozen=True)
class D365Checks:
    client: D365Client
    given: Given
    metadata: Metadata

    def probes(self) -> list[Probe]:
        after, mapping = (ENVIRONMENT,), ("MAPPING_FILE",)
        needs = D365Needs(self.given.settings, self.given.customisation).sets()
        probes = [
            Probe(AREA, "sign-in", self._sign_in, settings=_SIGN_IN),
            # The first call after a restart of F&O waits for its metadata (F&O contract 2.1).
            Probe(AREA, "environment", self._environment, (SIGN_IN,), seconds=60),
            Probe(AREA, "clock", self._clock, after),
            Probe(AREA, "companies", self._companies, after, ("D365_COMPANY", *mapping)),
        ]
        probes += [
            Probe(AREA, name, self._set(name, each), after, mapping) for name, each in needs.items()
        ]
        for entity_set, name, work in (
            (customers.ENTITY_SET, "customer numbers", self._customer_numbers),
            (sales_orders.HEADERS, "order numbers", self._order_numbers),
        ):
            if entity_set in needs and needs[entity_set].create:
                probes.append(Probe(AREA, name, work, (f"{AREA} {entity_set}",)))
        if {customers.ENTITY_SET, contact_persons.ENTITY_SET} & needs.keys():
            probes.append(Probe(AREA, "data packages", self._packages, after))
        return probes

    async def _sign_in(self) -> list[Check]:
        import jwt

        d365 = self.given.settings.d365
        tokens = TokenSource(lambda: build_credential(d365), token_scope(d365.base_url))
        try:
            token = await tokens.token()
        finally:
            await tokens.close()
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.PyJWTError as error:
            raise ContractError("the token cannot be read", system="d365") from error
        return judge_token(claims, d365.base_url, d365.tenant_id)

    async def _environment(self) -> list[Check]:
        d365 = self.given.settings.d365
        host = urlsplit(d365.base_url).netloc
        try:
            return [judge_version(await self.metadata.application_version(), host)]
        except AuthenticationFailed:
            return [refused_token(d365.client_id)]
        except (Misconfigured, RecordError):
            # Somebody there speaks OData, or the rows of the entities are the next to say so.
            await self.client.transport.json("GET", f"{d365.base_url}/data", _call("GET data"))
            return [ok("environment", f"{host} answers; its version cannot be read")]

    async def _clock(self) -> list[Check]:
        asked = time.time()
        url = f"{self.given.settings.d365.base_url}/data"
        response = await self.client.transport.request("GET", url, _call("GET data"))
        return [judge_clock(response.headers.get("date"), asked, time.time())]

    async def _companies(self) -> list[Check]:
        rows = self.client.query("LegalEntities", select=("LegalEntityId",))
        existing = [str(row["LegalEntityId"]) async for row in rows]
        named = D365Needs(self.given.settings, self.given.customisation).companies()
        return judge_companies(existing, named)

    def _set(self, entity_set: str, needs: Needs) -> Work:
        async def check() -> list[Check]:
            public = await self._public_name(entity_set)
            refusal = judge_set(entity_set, public, needs.flows)
            if refusal is not None or public is None:
                return [refusal] if refusal else []
            info = await self.metadata.entity_info(public.name)
            return judge_columns(entity_set, info, needs)

        return check

    async def _public_name(self, entity_set: str) -> PublicName | None:
        """Whole lists of entities are long: the one of this set alone."""
        where = encode_option(eq("PublicCollectionName", entity_set).text)
        url = f"{self.given.settings.d365.base_url}/metadata/DataEntities?$filter={where}"
        body: Any = await self.client.transport.json("GET", url, _call("GET metadata/DataEntities"))
        rows = body.get("value") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise ContractError("the list of entities cannot be read", system="d365")
        return PublicName.of(rows)

    async def _customer_numbers(self) -> list[Check]:
        settings = self.given.settings
        own = settings.app.customer_numbering == "salesforce-id"
        field = settings.d365.salesforce_id_field
        return await self._numbers(
            "customer numbers", "CUSTOMER_NUMBERING", customers.ENTITY_SET, customers.NUMBER,
            field, own=own,
        )  # fmt: skip

    async def _order_numbers(self) -> list[Check]:
        orders = self.given.settings.orders
        own = orders.numbering == "opportunity-id"
        field = ORDER_NUMBER if own else orders.id_field
        return await self._numbers(
            "order numbers", "ORDER_NUMBERING", sales_orders.HEADERS, ORDER_NUMBER, field, own=own
        )

    async def _numbers(
        self, name: str, setting: str, entity_set: str, column: str, id_column: str, *, own: bool
    ) -> list[Check]:
        public = await self._public_name(entity_set)
        info = await self.metadata.entity_info(public.name if public else entity_set)
        editable = info.properties[column].allow_edit_on_create
        proofs: list[bool] = []
        if id_column != column:
            select = dict.fromkeys((column, id_column))
            rows = self.client.query(
                entity_set, filter=ne(id_column, ""), select=list(select), top=_SAMPLE
            )
            proofs = [(row[column] == row[id_column]) is own async for row in rows]
        return [judge_numbering(name, setting, own=own, editable=editable, proofs=proofs)]

    async def _packages(self) -> list[Check]:
        """The address of an upload is asked for; nothing is uploaded."""
        title, volume = "data packages", self.given.settings.volume
        try:
            url = await PackageApi(self.client).write_url(f"doctor-{uuid.uuid4().hex}.zip")
        except IntegrationError as error:
            needed = "scheduled" in (volume.accounts_route, volume.contacts_route)
            step = f"{problem_of(error).step}; loads above PACKAGE_THRESHOLD need it"
            judge = failed if needed else warning
            return [judge(title, error.description, step)]
        return [ok(title, f"uploads go to {urlsplit(url).netloc}")]


def _call(operation: str) -> Call:
    return Call(operation, safe_to_repeat=True)
