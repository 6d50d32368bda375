"""The app's Pub/Sub client against the stand-in, over real gRPC and TLS (Salesforce contract 6)."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import httpx
import pytest

from integration.deadline import deadline
from integration.errors import AuthenticationFailed, Misconfigured, Unreachable
from integration.salesforce.client import SalesforceClient
from integration.salesforce.pubsub.errors import ReplayExpired
from integration.salesforce.pubsub.stream import Page, PubSub
from integration.settings import SalesforceSettings
from sandbox.entra.certificates import TlsFiles, write_tls_files
from sandbox.salesforce import SalesforceStandIn
from tests.contract.salesforce_standin import key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["key"]  # the fixture

ACCOUNTS = "/data/AccountChangeEvent"


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return write_tls_files(tmp_path_factory.mktemp("tls"))


class Org:
    """The stand-in, the app's client of it, and what a clerk does there."""

    def __init__(self, stand_in: SalesforceStandIn, http: httpx.AsyncClient, tls: TlsFiles) -> None:
        self.stand_in = stand_in
        self.http = http
        self.roots = Path(tls.ca_file).read_bytes()
        settings = SalesforceSettings.model_validate(
            {
                "login_url": stand_in.url,
                "client_id": stand_in.client_id,
                "username": stand_in.username,
                "private_key": stand_in.private_key_pem,
            }
        )
        self.client = SalesforceClient(settings, http)

    async def do(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.http.request(
            method, f"{self.stand_in.url}/sandbox/{path}", json=body or {}
        )
        assert answer.is_success, answer.text
        return answer.json()

    async def new_account(self, name: str = "Contoso") -> str:
        return (await self.do("POST", "state/Account", {"Name": name}))["ids"][0]

    async def rules(self, **rules: Any) -> None:
        await self.do("PUT", "pubsub", rules)

    @asynccontextmanager
    async def events(self, *, quiet: float = 2.0) -> AsyncIterator[PubSub]:
        credentials = grpc.ssl_channel_credentials(root_certificates=self.roots)
        async with grpc.aio.secure_channel(self.stand_in.pubsub.endpoint, credentials) as channel:
            yield PubSub(channel, self.client.tokens, quiet=quiet)

    async def pages(
        self, position: str | None = None, topic: str = ACCOUNTS, *, quiet: float = 2.0
    ) -> list[Page]:
        async with self.events(quiet=quiet) as events:
            return [page async for page in events.follow(topic, position)]


@pytest.fixture
async def org(key: str, tls: TlsFiles) -> AsyncIterator[Org]:
    stand_in = SalesforceStandIn(private_key_pem=key)
    async with stand_in, httpx.AsyncClient() as http:
        await stand_in.start_pubsub(tls)
        yield Org(stand_in, http, tls)


def summary(pages: list[Page]) -> list[tuple[str | None, tuple[str, ...], tuple[str, ...]]]:
    return [(c.kind, c.ids, c.changed) for page in pages for c in page.changes]


async def test_what_people_do_arrives_in_order_with_what_changed(org: Org) -> None:
    key = await org.new_account()
    await org.do("PATCH", f"state/Account/{key}", {"Phone": "+49 30 1", "BillingCity": "Köln"})
    await org.do("DELETE", f"state/Account/{key}")
    await org.do("POST", f"state/Account/{key}/undelete")
    found = summary(await org.pages())
    assert [kind for kind, _, _ in found] == ["CREATE", "UPDATE", "DELETE", "UNDELETE"]
    assert {ids for _, ids, _ in found} == {(key,)}
    assert set(found[1][2]) == {"Phone", "BillingAddress.City", "LastModifiedDate"}


async def test_the_apps_own_writes_carry_its_user_and_its_name(org: Org) -> None:
    key = await org.new_account()
    await org.client.update_many("Account", [{"Id": key, "Phone": "1"}])
    created, updated = [change for page in await org.pages() for change in page.changes]
    assert created.user != updated.user
    assert updated.user == (await org.client.tokens.current()).user_id
    assert updated.client == "d365-integration"
    assert created.client == ""


async def test_only_what_came_after_the_stored_position_comes(org: Org) -> None:
    await org.new_account("First")
    first = await org.pages()
    later = await org.new_account("Second")
    assert [ids for _, ids, _ in summary(await org.pages(first[-1].position))] == [(later,)]
    assert summary(await org.pages((await org.pages())[-1].position)) == []


async def test_a_channel_without_events_still_moves_its_position(org: Org) -> None:
    (page,) = await org.pages()
    assert page.changes == []
    assert page.position


async def test_more_events_than_may_be_outstanding_come_all(org: Org) -> None:
    names = [{"Name": f"Account {number}"} for number in range(350)]
    ids = (await org.do("POST", "state/Account", names))["ids"]
    found = [each for _, change, _ in summary(await org.pages()) for each in change]
    assert found == ids


async def test_a_merge_is_a_delete_of_the_loser_and_an_update_of_what_moves(org: Org) -> None:
    master, loser = await org.new_account("Master"), await org.new_account("Loser")
    contact = (await org.do("POST", "state/Contact", {"LastName": "Meyer", "AccountId": loser}))[
        "ids"
    ][0]
    start = (await org.pages())[-1].position
    body = {"merged": [loser], "Phone": "+49 1"}
    await org.do("POST", f"state/Account/{master}/merge", body)
    found = summary(await org.pages(start, "/data/ChangeEvents"))
    assert {(kind, ids[0]) for kind, ids, _ in found} == {
        ("UPDATE", contact),
        ("DELETE", loser),
        ("UPDATE", master),
    }
    rows = await org.client.query_all_rows(
        f"SELECT Id, MasterRecordId FROM Account WHERE Id = '{loser}'", include_deleted=True
    )
    assert rows[0]["MasterRecordId"] == master


@pytest.mark.parametrize("position", ["expired", "0000000000000001", "ff"])
async def test_an_expired_or_unknown_position_is_said_and_never_skipped(
    org: Org, position: str
) -> None:
    if position == "expired":
        await org.new_account()
        position = (await org.pages())[-1].position
        await org.do("POST", "pubsub/expire")
    with pytest.raises(ReplayExpired):
        await org.pages(position)


async def test_what_is_older_than_the_retention_is_gone(org: Org) -> None:
    await org.new_account()
    await org.rules(retention=0)
    assert summary(await org.pages()) == []


async def test_a_gap_event_names_the_record(org: Org) -> None:
    await org.rules(gap=1)
    key = await org.new_account()
    await org.do("PATCH", f"state/Account/{key}", {"Phone": "1"})
    change = [change for page in await org.pages() for change in page.changes][-1]
    assert (change.kind, change.ids, change.changed, change.gap) == ("UPDATE", (key,), (), True)


async def test_a_broken_stream_is_trouble_and_goes_on_from_its_last_page(org: Org) -> None:
    names = [{"Name": f"Account {number}"} for number in range(60)]
    ids = (await org.do("POST", "state/Account", names))["ids"]
    await org.rules(resets=1)
    seen: list[Page] = []

    async def follow() -> None:
        async with org.events() as events:
            async for page in events.follow(ACCOUNTS, None):
                seen.append(page)

    with pytest.raises(Unreachable):
        await follow()
    rest = await org.pages(seen[-1].position)
    assert [each for _, change, _ in summary([*seen, *rest]) for each in change] == ids


async def test_a_refused_stream_is_trouble(org: Org) -> None:
    await org.rules(unavailable=1)
    with pytest.raises(Unreachable):
        await org.pages()


async def test_a_dead_stream_ends_without_a_position(org: Org) -> None:
    await org.rules(dead=1)
    assert await org.pages(quiet=0.3) == []


async def test_a_session_that_ended_is_renewed_once(org: Org) -> None:
    key = await org.new_account()
    await org.client.tokens.current()
    await org.do("POST", "sessions/expire")
    assert summary(await org.pages())[0][1] == (key,)


async def test_a_user_without_a_session_is_an_authentication_error(org: Org) -> None:
    await org.client.tokens.current()
    org.stand_in.authority.session_seconds = -1
    await org.do("POST", "sessions/expire")
    with pytest.raises(AuthenticationFailed):
        await org.pages()


async def test_an_unknown_channel_says_what_to_do(org: Org) -> None:
    with pytest.raises(Misconfigured, match="Change Data Capture"):
        await org.pages(topic="/data/NoChangeEvent")


async def test_no_page_is_begun_when_the_time_is_nearly_over(org: Org) -> None:
    await org.new_account()
    with deadline(4):
        assert await org.pages() == []


async def test_an_event_of_every_object_with_every_field_filled_is_delivered(org: Org) -> None:
    account = {"Name": "X", "NumberOfEmployees": 5, "AnnualRevenue": 12.5, "Website": "https://x"}
    key = (await org.do("POST", "state/Account", account))["ids"][0]
    deal = {"Name": "D", "StageName": "Prospecting", "CloseDate": "2026-07-31", "Amount": 10.25}
    await org.do("POST", "state/Opportunity", {**deal, "AccountId": key, "Probability": 10})
    await org.do("POST", "state/Contact", {"LastName": "M", "Birthdate": "1980-01-01"})
    found = [
        change for page in await org.pages(topic="/data/ChangeEvents") for change in page.changes
    ]
    assert [change.object for change in found] == ["Account", "Opportunity", "Contact"]
