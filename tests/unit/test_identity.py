"""The managed identity as the Service Bus SDK uses it, against the endpoint that App Service offers."""

import json
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from integration.identity import AzureIdentity


class Endpoint(BaseHTTPRequestHandler):
    asked: ClassVar[list[dict[str, list[str]]]] = []

    def do_GET(self) -> None:
        self.asked.append(parse_qs(urlsplit(self.path).query))
        body = json.dumps(
            {
                "access_token": "token",
                "expires_on": str(int(time.time()) + 3600),
                "resource": "r",
                "token_type": "Bearer",
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Endpoint]]:
    Endpoint.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
        monkeypatch.setenv("IDENTITY_HEADER", "header")
        yield Endpoint
        server.shutdown()
        thread.join()


async def test_a_token_is_fetched_for_the_named_identity_and_kept(
    endpoint: type[Endpoint],
) -> None:
    async with AzureIdentity("client-id") as identity:
        token = await identity.get_token("https://servicebus.azure.net/.default")
        again = await identity.get_token("https://servicebus.azure.net/.default")
    assert token.token == again.token == "token"
    [asked] = endpoint.asked
    assert asked["resource"] == ["https://servicebus.azure.net"]
    assert asked["client_id"] == ["client-id"]
