"""`python -m sandbox up --json`: the surface that other tools rely on (design: public surface)."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import psutil
import pytest
import pytest_asyncio
from azure.identity import ClientSecretCredential
from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROJECT = Path(__file__).resolve().parents[2]
MEMBERS = {
    "salesforce": {
        "instance_url", "login_url", "client_id", "username", "private_key_file",
        "client_secret", "org_id",
    },
    "d365": {"base_url", "tenant_id", "authority", "client_id", "client_secret", "company"},
    "service_bus": {"connection_string"},
    "storage": {"connection_string"},
    "functions": {"base_url", "key", "webhook_secret"},
}  # fmt: skip


class Up:
    """The running command and what it printed."""

    def __init__(self, process: asyncio.subprocess.Process, line: bytes) -> None:
        self.process = process
        self.parts: dict[str, dict[str, Any]] = json.loads(line)

    def private_key_file(self) -> Path:
        return Path(self.parts["salesforce"]["private_key_file"])


async def start(*options: str) -> Up:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox", "up", "--json", *options,
        cwd=PROJECT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )  # fmt: skip
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), 60)
    if not line:
        _, errors = await process.communicate()
        pytest.fail(errors.decode())
    return Up(process, line)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up() -> AsyncIterator[Up]:
    started = await start("--setting", "RETRY_ATTEMPTS=3")
    yield started
    if started.process.returncode is None:
        started.process.send_signal(signal.SIGTERM)
        await started.process.communicate()


async def test_it_prints_the_members_of_the_contract(up: Up) -> None:
    assert {name: set(part) for name, part in up.parts.items() if name != "env"} == MEMBERS
    assert up.parts["env"]["RETRY_ATTEMPTS"] == "3"
    assert up.parts["env"]["D365_BASE_URL"] == up.parts["d365"]["base_url"]
    assert up.private_key_file().read_text().startswith("-----BEGIN PRIVATE KEY-----")


async def test_every_endpoint_answers_its_own_client(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    salesforce, d365 = up.parts["salesforce"], up.parts["d365"]
    async with httpx.AsyncClient() as http:
        form = {
            "grant_type": "client_credentials",
            "client_id": salesforce["client_id"],
            "client_secret": salesforce["client_secret"],
        }
        answer = await http.post(f"{salesforce['login_url']}/services/oauth2/token", data=form)
        bearer = {"authorization": f"Bearer {answer.json()['access_token']}"}
        limits = f"{salesforce['instance_url']}/services/data/v62.0/limits"
        assert (await http.get(limits, headers=bearer)).status_code == 200
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", up.parts["env"]["REQUESTS_CA_BUNDLE"])
        token = await asyncio.to_thread(_token, d365)
        companies = f"{d365['base_url']}/data/Companies?cross-company=true"
        answer = await http.get(companies, headers={"authorization": f"Bearer {token}"})
        assert d365["company"] in {row["DataArea"] for row in answer.json()["value"]}
        health = await http.get(f"{up.parts['functions']['base_url']}/api/health")
        assert health.json() == {"status": "ok"}
    async with (
        ServiceBusClient.from_connection_string(
            up.parts["service_bus"]["connection_string"]
        ) as bus,
        bus.get_queue_receiver("dead-letter") as receiver,
    ):
        assert await receiver.peek_messages() == []
    storage = up.parts["storage"]["connection_string"]
    with ContainerClient.from_connection_string(storage, "try-it") as container:
        container.create_container()
        container.upload_blob("a", b"b")
        assert container.download_blob("a").readall() == b"b"


async def test_an_account_travels(up: Up) -> None:
    salesforce = up.parts["salesforce"]["instance_url"]
    async with httpx.AsyncClient() as http:
        row = {"Name": "Probe AG", "BillingCountry": "CH", "CurrencyIsoCode": "CHF"}
        answer = await http.post(f"{salesforce}/sandbox/state/Account", json=row)
        (key,) = answer.json()["ids"]
        async with asyncio.timeout(30):
            while True:
                rows = await http.get(f"{salesforce}/sandbox/state/Account", params={"Id": key})
                if rows.json()[0].get("D365_Customer_Number__c"):
                    return
                await asyncio.sleep(0.1)


async def test_ports_can_be_chosen_and_sigterm_ends_all_of_it(up: Up) -> None:
    process = psutil.Process(up.process.pid)
    children = process.children(recursive=True)
    assert len(children) >= 2  # the Functions host and Azurite
    urls = [up.parts["functions"]["base_url"], up.parts["d365"]["base_url"]]
    up.process.send_signal(signal.SIGTERM)
    output, errors = await asyncio.wait_for(up.process.communicate(), 30)
    assert up.process.returncode == 0, errors.decode()
    assert output == b""  # one line and no more
    _, alive = await asyncio.to_thread(psutil.wait_procs, children, 5)
    assert alive == []
    assert not up.private_key_file().exists()
    functions, d365 = (httpx.URL(url).port for url in urls)
    again = await start("--functions-port", str(functions), "--d365-port", str(d365))
    try:
        assert [again.parts["functions"]["base_url"], again.parts["d365"]["base_url"]] == urls
    finally:
        again.process.send_signal(signal.SIGINT)
        await asyncio.wait_for(again.process.communicate(), 30)
    assert again.process.returncode == 0


def _token(d365: dict[str, Any]) -> str:
    with ClientSecretCredential(
        d365["tenant_id"],
        d365["client_id"],
        d365["client_secret"],
        authority=d365["authority"],
        disable_instance_discovery=True,
    ) as credential:
        return credential.get_token(f"{d365['base_url']}/.default").token
