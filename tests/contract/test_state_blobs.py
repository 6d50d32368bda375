"""`state.BlobState` over the real Blob SDK against Azurite."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import pytest
import pytest_asyncio
from azure.storage.blob import ContainerClient

from integration.errors import Unreachable
from integration.state.blobs import ABSENT, BlobState, StateConflict
from integration.state.intents import CreateIntents
from sandbox.storage.azurite import Azurite

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def azurite() -> AsyncIterator[Azurite]:
    async with Azurite() as azurite:
        yield azurite


@pytest.fixture
def container(azurite: Azurite, request: pytest.FixtureRequest) -> Iterator[ContainerClient]:
    """A container of the test's own that does not exist yet."""
    name = f"state-{abs(hash(request.node.name)) % 10**9}"
    with ContainerClient.from_connection_string(
        azurite.connection_string, name, retry_total=0
    ) as container:
        yield container


@pytest.fixture
def state(container: ContainerClient) -> BlobState:
    return BlobState(container)


async def test_a_document_that_nobody_wrote_is_absent(state: BlobState) -> None:
    assert await state.read("jobs/none.json") is None


async def test_a_document_is_read_as_it_was_written(state: BlobState) -> None:
    body = bytes(range(256))
    etag = await state.write("a/b c/ü.json", body)
    document = await state.read("a/b c/ü.json")
    assert document is not None
    assert (document.body, document.etag) == (body, etag)


async def test_an_empty_document_is_not_an_absent_one(state: BlobState) -> None:
    await state.write("empty", b"")
    document = await state.read("empty")
    assert document is not None
    assert document.body == b""


async def test_a_write_against_the_version_that_was_read_succeeds_once(state: BlobState) -> None:
    first = await state.write("doc", b"1", expected=ABSENT)
    second = await state.write("doc", b"2", expected=first)
    assert second != first
    with pytest.raises(StateConflict) as caught:
        await state.write("doc", b"3", expected=first)
    assert caught.value.system == "storage"
    document = await state.read("doc")
    assert document is not None
    assert document.body == b"2"


async def test_a_document_that_must_be_absent_is_not_overwritten(state: BlobState) -> None:
    await state.write("doc", b"1")
    with pytest.raises(StateConflict):
        await state.write("doc", b"2", expected=ABSENT)


async def test_a_deleted_document_is_not_written_by_its_old_version(state: BlobState) -> None:
    etag = await state.write("doc", b"1")
    await state.delete("doc")
    await state.delete("doc")
    with pytest.raises(StateConflict):
        await state.write("doc", b"2", expected=etag)
    assert await state.read("doc") is None


async def test_of_concurrent_writers_one_wins(state: BlobState) -> None:
    etag = await state.write("doc", b"0")
    results = await asyncio.gather(
        *(state.write("doc", str(n).encode(), expected=etag) for n in range(1, 6)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, str) for result in results) == 1
    assert sum(isinstance(result, StateConflict) for result in results) == 4


async def test_instances_that_start_together_make_the_container_once(
    container: ContainerClient,
) -> None:
    states = [BlobState(container) for _ in range(4)]
    await asyncio.gather(*(one.write(f"doc-{n}", b"1") for n, one in enumerate(states)))
    assert {blob.name for blob in container.list_blobs()} == {f"doc-{n}" for n in range(4)}


async def test_names_are_listed_by_prefix(state: BlobState) -> None:
    names = {f"ledger/invoices/{number:03}" for number in range(12)}
    await asyncio.gather(*(state.write(name, b"1") for name in [*names, "ledger/x", "jobs/1"]))
    assert {name async for name in state.names("ledger/invoices/")} == names
    assert [name async for name in state.names("nothing/")] == []


async def test_create_intents_are_granted_once_over_several_instances(
    container: ContainerClient,
) -> None:
    instances = [
        CreateIntents(BlobState(container), quarantine=timedelta(minutes=15)) for _ in range(3)
    ]
    answers = await asyncio.gather(
        *(one.reserve("customers", "bucket-001", ["a", "b"]) for one in instances)
    )
    for key in ("a", "b"):
        assert sum(key in answer.granted for answer in answers) == 1
    await instances[0].release("customers", "bucket-001", ["a"])
    again = await instances[1].reserve("customers", "bucket-001", ["a", "b"])
    assert again.granted == {"a"}


async def test_a_storage_that_is_away_is_unreachable() -> None:
    with (
        ContainerClient.from_connection_string(
            "DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=a2V5;"
            "BlobEndpoint=http://127.0.0.1:1/devstoreaccount1;",
            "state",
            retry_total=0,
        ) as container,
        pytest.raises(Unreachable) as caught,
    ):
        await BlobState(container).read("doc")
    assert (caught.value.system, caught.value.reason) == ("storage", "state-unavailable")
