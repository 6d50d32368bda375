"""simple-salesforce against the running stand-in, and faults that only a real socket shows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
import requests
from requests.adapters import HTTPAdapter
from simple_salesforce import (
    Salesforce,
    SalesforceMalformedRequest,
    SalesforceMoreThanOneRecord,
    SalesforceResourceNotFound,
    format_soql,
)
from simple_salesforce.exceptions import SalesforceAuthenticationFailed
from simple_salesforce.format import format_external_id

from sandbox.salesforce import SalesforceStandIn, generate_accounts

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

ROOT = "/services/data/v62.0"
KEY = "D365_Customer_Number__c"


class ToStandIn(HTTPAdapter):
    """simple-salesforce builds https:// URLs itself; this sends them to the stand-in."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._netloc = urlsplit(url).netloc

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> Any:
        parts = urlsplit(request.url or "")
        request.url = urlunsplit(("http", self._netloc, parts.path, parts.query, ""))
        return super().send(request, *args, **kwargs)


@pytest.fixture
async def standin() -> AsyncIterator[SalesforceStandIn]:
    async with SalesforceStandIn() as standin:
        yield standin


@pytest.fixture
def session(standin: SalesforceStandIn) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.mount("https://", ToStandIn(standin.url))
        yield session


def log_in(standin: SalesforceStandIn, session: requests.Session, **more: Any) -> Salesforce:
    given = {
        "username": standin.username,
        "consumer_key": standin.client_id,
        "privatekey": standin.private_key_pem,
        "version": "62.0",
        "session": session,
        **more,
    }
    return Salesforce(**given)


async def test_simple_salesforce_works_through_rows_queries_and_describe(standin, session):
    def work() -> None:
        sf = log_in(standin, session)
        made = sf.Account.create({"Name": "Müller & Söhne", KEY: "A/B C"})
        assert made["success"] is True
        row = sf.Account.get(made["id"])
        assert row["Name"] == "Müller & Söhne"
        assert sf.Account.upsert(format_external_id(KEY, "A/B C"), {"Name": "New"}) == 200
        assert sf.Account.upsert(format_external_id(KEY, "C+é#1"), {"Name": "Other"}) == 201
        assert sf.Account.update(made["id"], {"Phone": "+49 221"}) == 204
        assert sf.Account.get_by_custom_id(KEY, "C+é#1")["Name"] == "Other"
        query = format_soql("SELECT Id, Name FROM Account WHERE Name = {}", "new")
        assert sf.query(query)["records"][0]["Id"] == made["id"]
        assert sf.Account.describe()["keyPrefix"] == "001"
        assert sf.describe()["maxBatchSize"] == 200
        assert sf.limits()["DailyApiRequests"]["Max"] == 100_000
        assert sf.api_usage["api-usage"].total == 100_000
        records = [{"attributes": {"type": "Account"}, "Name": "C", KEY: "C-3"}]
        results = sf.restful(
            f"composite/sobjects/Account/{KEY}", method="PATCH", json={"records": records}
        )
        assert results[0]["created"] is True
        assert sf.Account.delete(made["id"]) == 204
        assert sf.is_sandbox() is True
        found = sf.oauth2("userinfo")
        assert found["preferred_username"] == standin.username

    await asyncio.to_thread(work)


async def test_simple_salesforce_follows_pages(standin, session):
    async with httpx.AsyncClient(base_url=standin.url) as client:
        url = "/sandbox/state/Account?events=false"
        await client.post(url, json=generate_accounts(2500, seed=1))

    def work() -> None:
        sf = log_in(standin, session)
        found = sf.query_all("SELECT Id, Name, BillingAddress FROM Account")
        assert found["totalSize"] == len({row["Id"] for row in found["records"]}) == 2500

    await asyncio.to_thread(work)


async def test_simple_salesforce_raises_its_own_errors(standin, session):
    def work() -> None:
        sf = log_in(standin, session)
        for _ in range(2):
            sf.Contact.create({"LastName": "A", "Email": "a@b.example"})
        with pytest.raises(SalesforceMoreThanOneRecord):
            sf.Contact.upsert("Email/a@b.example", {"LastName": "B"})
        with pytest.raises(SalesforceMalformedRequest) as caught:
            sf.Account.create({})
        assert caught.value.content[0]["errorCode"] == "REQUIRED_FIELD_MISSING"
        with pytest.raises(SalesforceResourceNotFound):
            sf.Account.get("001Aa0000000001IAA")
        with pytest.raises(SalesforceMalformedRequest):
            sf.query("SELECT Nope FROM Account")

    await asyncio.to_thread(work)


async def test_simple_salesforce_logs_in_again_after_its_session_expired(standin, session):
    def work() -> None:
        sf = log_in(standin, session)
        requests.post(f"{standin.url}/sandbox/sessions/expire", timeout=5).close()
        assert sf.query("SELECT COUNT() FROM Account")["totalSize"] == 0

    await asyncio.to_thread(work)
    assert standin.control.calls["POST oauth2/token"] == 2


async def test_simple_salesforce_logs_in_with_client_credentials_and_shows_refusals(
    standin, session
):
    def work() -> None:
        sf = Salesforce(
            consumer_key=standin.client_id,
            consumer_secret=standin.client_secret,
            domain="acme.my",
            session=session,
        )
        assert sf.query("SELECT Id FROM Account")["done"] is True
        with pytest.raises(SalesforceAuthenticationFailed, match="client identifier invalid"):
            log_in(standin, session, consumer_key="other")
        with (
            pytest.warns(UserWarning, match="self-authorize"),
            pytest.raises(SalesforceAuthenticationFailed),
        ):
            log_in(standin, session, username="nobody@x.example")

    await asyncio.to_thread(work)


async def test_a_call_dropped_after_its_commit_has_happened(standin):
    async with httpx.AsyncClient(base_url=standin.url) as client:
        form = {
            "grant_type": "client_credentials",
            "client_id": standin.client_id,
            "client_secret": standin.client_secret,
        }
        token = (await client.post("/services/oauth2/token", data=form)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        fault = {"match": {"method": "PATCH", "path": "composite/sobjects"}, "drop": "after"}
        await client.post("/sandbox/faults", json=fault)
        url = f"{ROOT}/composite/sobjects/Account/{KEY}"
        records = [{"attributes": {"type": "Account"}, "Name": "A", KEY: "C-1"}]
        with pytest.raises(httpx.TransportError):
            await client.patch(url, json={"records": records})
        rows = (await client.get("/sandbox/state/Account")).json()
        assert [row["Name"] for row in rows] == ["A"]
        again = (await client.patch(url, json={"records": records})).json()
        assert again == [{"id": rows[0]["Id"], "success": True, "errors": [], "created": False}]


async def test_a_body_without_a_length_is_read(standin):
    async def chunks() -> AsyncIterator[bytes]:
        yield b"grant_type=client_credentials&client_id="
        yield f"{standin.client_id}&client_secret={standin.client_secret}".encode()

    async with httpx.AsyncClient(base_url=standin.url) as client:
        answer = await client.post("/services/oauth2/token", content=chunks())
        assert answer.status_code == 200


def test_generated_accounts_are_repeatable_and_hold_awkward_values():
    accounts = generate_accounts(400, seed=7)
    assert accounts == generate_accounts(400, seed=7)
    assert accounts != generate_accounts(400, seed=8)
    text = " ".join(account["Name"] for account in accounts)
    assert all(sign in text for sign in ("&", '"', "ü", "'"))
    assert any(len(account["Name"]) > 100 for account in accounts)
    assert any("\n" in account["BillingStreet"] for account in accounts)
    spellings = {account["BillingCountry"] for account in accounts}
    assert {"Germany", "Deutschland", "USA", "United States", "UK", "GB"} <= spellings
    assert {"EUR", "USD", "GBP", "CHF"} <= {account["CurrencyIsoCode"] for account in accounts}
