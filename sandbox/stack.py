"""Everything together: the stand-ins in this process, Azurite and the Functions host as children.

The app's process can be killed and started again while the rest goes on, as instances in Azure come
and go.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from sandbox import topology
from sandbox.d365.app import D365StandIn
from sandbox.entra.app import EntraStandIn
from sandbox.processes import Process
from sandbox.salesforce.server import SalesforceStandIn
from sandbox.servicebus.broker import Broker
from sandbox.storage.azurite import Azurite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PROJECT = Path(__file__).resolve().parent.parent
COMPANY = "usmf"
TENANT = "5a4d0c1e-0000-4000-8000-00000000a001"
APPLICATION = "5a4d0c1e-0000-4000-8000-00000000c001"
FUNCTION_KEY = "sandbox-function-key"
MASTER_KEY = "sandbox-master-key"
WEBHOOK_SECRET = "sandbox-webhook-secret"
# The sandbox's time runs faster: what waits half a minute in Azure waits a second here.
QUICK = {
    "RETRY_BASE_DELAY": "0.5",
    "RETRY_MAX_DELAY": "4",
    "RETRY_CALL_DELAY": "0.2",
    "D365_THROTTLE_FALLBACK": "1",
    "CREATE_QUARANTINE_MINUTES": "0.05",
    "JOB_STEP_SECONDS": "20",
    "RECONCILE_SETTLE_SECONDS": "1",
    "CATCH_UP_QUIET_SECONDS": "2",
    "WATCH_SETTLED_SECONDS": "1",
    "WATCH_LOST_MINUTES": "0.02",
    "WATCH_SILENCE_MINUTES": "0.01",
}


class Sandbox:
    """`async with Sandbox() as sandbox:` starts all of it on free ports and ends all of it."""

    def __init__(
        self,
        *,
        settings: Mapping[str, str] | None = None,
        ports: Mapping[str, int] | None = None,
        lock_seconds: float = 60,
        echo: bool = False,
        log: Callable[[str], None] | None = None,
    ) -> None:
        """`settings` override the app's; `ports` by name (salesforce, d365, …) instead of free ones;
        `log` receives every line of the app's log."""
        ports = ports or {}
        self._overrides = dict(settings or {})
        self._function_port = ports.get("functions", 0)
        self._echo = echo
        self._log = log
        self._stack = AsyncExitStack()
        self._folder = Path(tempfile.mkdtemp(prefix="sandbox-"))
        self.broker = Broker(topology.queues(lock_seconds), port=ports.get("service_bus", 0))
        self.storage = Azurite(port=ports.get("storage", 0))
        self.salesforce = SalesforceStandIn(port=ports.get("salesforce", 0))
        self.entra = EntraStandIn(
            TENANT, {APPLICATION: "sandbox-secret"}, port=ports.get("entra", 0), folder=self._folder
        )
        self.d365 = D365StandIn(port=ports.get("d365", 0), entra=self.entra)
        self.http = httpx.AsyncClient(timeout=30)
        self.app: Process | None = None
        self.app_url = ""

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, *, app: bool = True) -> None:
        self._stack.push_async_callback(self.http.aclose)
        for part in (self.broker, self.storage, self.entra, self.d365, self.salesforce):
            self._stack.push_async_callback(part.stop)
            await part.start()
        await self.salesforce.start_pubsub(self.entra.tls)
        self.d365.set_events(self.broker.connection_string)
        self.d365.packages.connect(self.storage.connection_string)
        self.private_key_file.write_text(self.salesforce.private_key_pem)
        if app:
            await self.start_app()

    async def stop(self) -> None:
        if self.app is not None:
            await self.app.stop()
        await self._stack.aclose()
        for path in sorted(self._folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        self._folder.rmdir()

    async def start_app(self, settings: Mapping[str, str] | None = None) -> None:
        """Starts the Functions host with the unmodified project, each time on the port of the first.

        `settings`, where given, replace the overrides of the constructor.
        """
        if settings is not None:
            self._overrides = dict(settings)
        file = self._folder / "settings.json"
        file.write_text(json.dumps(self.env))
        self.app = await Process.start(
            sys.executable,
            "-m",
            "sandbox.functions",
            "--project",
            str(PROJECT),
            "--settings",
            str(file),
            "--port",
            str(self._function_port),
            "--function-key",
            FUNCTION_KEY,
            "--master-key",
            MASTER_KEY,
            "--ready-json",
            *([] if self._echo or self._log else ["--quiet"]),
            echo=self._echo,
            listener=self._log,
        )
        ready = json.loads(await self.app.line_matching(r"^\{.*base_url"))
        self.app_url = ready["base_url"]
        # Salesforce keeps on calling the address that it was told.
        self._function_port = httpx.URL(self.app_url).port or 0

    async def kill_app(self) -> None:
        """As a crash: nothing is drained."""
        if self.app is not None:
            await self.app.kill()

    async def stop_app(self) -> None:
        """As a scale-in: the host drains."""
        if self.app is not None:
            await self.app.stop()

    @property
    def private_key_file(self) -> Path:
        return self._folder / "salesforce-private-key.pem"

    @property
    def env(self) -> dict[str, str]:
        """The app settings."""
        return {
            "FUNCTIONS_WORKER_RUNTIME": "python",
            "AzureWebJobsStorage": self.storage.connection_string,
            "ServiceBus": self.broker.connection_string,
            "SALESFORCE_LOGIN_URL": self.salesforce.url,
            "SALESFORCE_AUDIENCE": "https://login.salesforce.com",
            "SALESFORCE_CLIENT_ID": self.salesforce.client_id,
            "SALESFORCE_USERNAME": self.salesforce.username,
            "SALESFORCE_PRIVATE_KEY": self.salesforce.private_key_pem,
            "SALESFORCE_ORG_IDS": self.salesforce.org_id,
            "D365_BASE_URL": self.d365.url,
            "D365_AUTH": "secret",
            "D365_AUTHORITY": self.entra.url,
            "D365_TENANT_ID": self.entra.tenant_id,
            "D365_CLIENT_ID": self.entra.client_id,
            "D365_CLIENT_SECRET": self.entra.client_secret,
            "D365_COMPANY": COMPANY,
            # azure-identity must trust the stand-in's own certificate.
            "REQUESTS_CA_BUNDLE": str(self.entra.ca_file),
            "CATCH_UP_ENDPOINT": self.salesforce.pubsub.endpoint,
            "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(self.entra.ca_file),
            "WEBHOOK_SECRETS": WEBHOOK_SECRET,
            "SYNC_PRICES_SCHEDULE": "0 0 2 * * *",
            "RECONCILE_SCHEDULE": "0 30 3 * * *",
            "SEND_PACKAGES_SCHEDULE": "0 0 5 * * *",
            "CATCH_UP_SCHEDULE": "0 0 4 * * *",
            "WATCH_SCHEDULE": "0 30 4 * * *",
            "SYNC_PAYMENTS_SCHEDULE": "0 0 3 * * *",  # hourly in Azure; here when it is asked for
            "ORDERS_SINCE": "2025-01-01",
            # Without a site of its own no item can be ordered.
            "ORDER_SITE": "1",
            "ORDER_WAREHOUSE": "13",
            **QUICK,
            **self._overrides,
        }

    def describe(self) -> dict[str, Any]:
        """What `python -m sandbox up --json` prints."""
        return {
            "salesforce": {
                "instance_url": self.salesforce.url,
                "login_url": self.salesforce.url,
                "client_id": self.salesforce.client_id,
                "username": self.salesforce.username,
                "private_key_file": str(self.private_key_file),
                "client_secret": self.salesforce.client_secret,
                "org_id": self.salesforce.org_id,
            },
            "d365": {
                "base_url": self.d365.url,
                "tenant_id": self.entra.tenant_id,
                "authority": self.entra.url,
                "client_id": self.entra.client_id,
                "client_secret": self.entra.client_secret,
                "company": COMPANY,
            },
            "service_bus": {"connection_string": self.broker.connection_string},
            "storage": {"connection_string": self.storage.connection_string},
            "functions": {
                "base_url": self.app_url,
                "key": FUNCTION_KEY,
                "webhook_secret": WEBHOOK_SECRET,
            },
            "env": self.env,
        }

    # What a person or a test does with it

    async def subscribe(self, *objects: str, kind: str = "json") -> None:
        """Makes the Salesforce stand-in call the app's webhook when such records change."""
        subscriptions = [
            {
                "object": name,
                "kind": kind,
                "url": f"{self.app_url}/api/salesforce/events",
                "function_key": FUNCTION_KEY,
                "secret": WEBHOOK_SECRET,
                "enabled": True,
            }
            for name in objects
        ]
        answer = await self.http.put(
            f"{self.salesforce.url}/sandbox/subscriptions", json=subscriptions
        )
        answer.raise_for_status()

    async def post_event(self, event: Mapping[str, Any] | list[Any]) -> httpx.Response:
        """Calls the webhook as Apex does, signed."""
        body = json.dumps(event).encode()
        return await self.http.post(
            f"{self.app_url}/api/salesforce/events",
            content=body,
            headers={"content-type": "application/json", **signed(body)},
        )

    async def send_raw(self, body: bytes, *, session: str) -> None:
        """Puts any bytes on the queue `changes`, as a stranger might."""
        from azure.servicebus import ServiceBusMessage
        from azure.servicebus.aio import ServiceBusClient

        async with (
            ServiceBusClient.from_connection_string(self.broker.connection_string) as client,
            client.get_queue_sender(topology.CHANGES) as sender,
        ):
            await sender.send_messages(ServiceBusMessage(body, session_id=session))

    async def settled(self, timeout: float = 60, *, quiet: float = 0.3) -> None:
        """Waits until no hint or event waits, runs or is scheduled, for `quiet` seconds.

        Raises TimeoutError.
        """
        async with asyncio.timeout(timeout):
            calm_since: float | None = None
            while calm_since is None or time.monotonic() - calm_since < quiet:
                counts = self.broker.counts()
                busy = any(
                    counts[queue][part]
                    for queue in (topology.CHANGES, topology.BUSINESS_EVENTS)
                    for part in ("active", "scheduled", "locked")
                )
                pending = await self._deliveries_pending() + self.d365.events.pending
                if busy or pending:
                    calm_since = None
                elif calm_since is None:
                    calm_since = time.monotonic()
                await asyncio.sleep(0.05)

    async def _deliveries_pending(self) -> int:
        answer = await self.http.get(f"{self.salesforce.url}/sandbox/deliveries")
        return int(answer.json()["pending"])

    def dead_letters(self) -> list[dict[str, Any]]:
        """The bodies of the queue `dead-letter`."""
        return [json.loads(message.body) for message in self.broker.peek(topology.DEAD_LETTER)]


def signed(body: bytes, *, secret: str = WEBHOOK_SECRET, at: float | None = None) -> dict[str, str]:
    """The headers with which Apex proves a call (design: webhook contract)."""
    timestamp = str(int(at if at is not None else time.time()))
    signature = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return {
        "x-functions-key": FUNCTION_KEY,
        "x-integration-timestamp": timestamp,
        "x-integration-signature": f"v1={signature.hexdigest()}",
    }
