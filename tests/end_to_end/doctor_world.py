"""A sandbox that `doctor` examines, and brokers with mistakes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass, replace
from typing import Any

from azure.servicebus.aio import ServiceBusClient
from azure.storage.blob import ContainerClient

from integration.messaging.dead_letters import DeadLetter, Kind
from integration.messaging.service_bus import Queues
from sandbox import topology
from sandbox.servicebus.broker import Broker
from sandbox.stack import PROJECT, Sandbox


@dataclass(frozen=True)
class Report:
    code: int
    rows: list[dict[str, str]]
    output: str

    def not_ok(self) -> set[tuple[str, str, str]]:
        return {
            (row["status"], row["area"], row["name"]) for row in self.rows if row["status"] != "ok"
        }

    def row(self, name: str) -> dict[str, str]:
        [found] = [row for row in self.rows if row["name"] == name]
        return found


class Patient:
    """A sandbox without the app, since `doctor` does not need it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    async def run(self, *options: str, **settings: str) -> tuple[int | None, str]:
        """The exit code and what was printed, which is all that is said."""
        env = {**os.environ, **self.sandbox.env, **settings}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-m", "integration", "doctor", *options,
            cwd=PROJECT, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        output, errors = await asyncio.wait_for(process.communicate(), 60)
        assert errors.decode() == ""
        return process.returncode, output.decode()

    async def examine(self, **settings: str) -> Report:
        code, output = await self.run("--json", **settings)
        document = json.loads(output)
        assert document["exit_code"] == code
        for row in document["checks"]:
            assert row["found"]
            assert (row["status"] != "ok") is bool(row["advice"]) or row["status"] == "not checked"
        return Report(document["exit_code"], document["checks"], output)

    async def put(self, system: str, route: str, body: Any, *, method: str = "PUT") -> None:
        url = f"{getattr(self.sandbox, system).url}/sandbox/{route}"
        answer = await self.sandbox.http.request(method, url, json=body)
        assert answer.is_success, answer.text

    async def heal(self) -> None:
        await self.put("salesforce", "schema", {})
        await self.put("salesforce", "quota", {"max": 100_000, "used": 0})
        await self.put("d365", "model", {})
        for system in ("salesforce", "d365"):
            url = f"{getattr(self.sandbox, system).url}/sandbox/faults"
            await self.sandbox.http.delete(url)

    def container(self) -> ContainerClient:
        text = self.sandbox.storage.connection_string
        return ContainerClient.from_connection_string(text, "integration-state")


async def broker_without_jobs() -> Broker:
    broker = Broker([each for each in topology.queues() if each.name != topology.JOBS])
    await broker.start()
    return broker


async def broker_with_letters_and_plain_changes() -> Broker:
    """`changes` without sessions, and two dead letters."""
    options = [
        replace(each, requires_session=False) if each.name == topology.CHANGES else each
        for each in topology.queues()
    ]
    broker = Broker(options)
    await broker.start()
    queues = Queues(ServiceBusClient.from_connection_string(broker.connection_string), buckets=1)
    kinds: tuple[Kind, ...] = ("failed", "review")
    for kind in kinds:
        await queues.dead_letter(
            DeadLetter(
                kind=kind,
                flow="accounts", reason="validation", description="", system="d365",
                body=kind.encode(),
            )
        )  # fmt: skip
    await queues.close()
    return broker
