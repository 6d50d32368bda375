"""The blob storage F&O brings along: signed URLs of the container `dmf`, streams in and out.

It lies on Azurite, so that packages and error files are real files behind real signatures.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING

from azure.core.exceptions import AzureError, ResourceExistsError
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobSasPermissions,
    BlobServiceClient,
    generate_blob_sas,
)

from sandbox.d365.dmf.executions import Crash

if TYPE_CHECKING:
    from sandbox.d365.dmf.settings import PackageSettings

CONTAINER = "dmf"
BLOCK = 4 * 2**20
_CLOCKS_DIFFER = timedelta(minutes=5)


class PackageStorage:
    """`connect` names the storage account; the container is made with the first use."""

    def __init__(self, settings: PackageSettings) -> None:
        self.settings = settings
        self._service: BlobServiceClient | None = None
        self._ready = False

    def connect(self, connection_string: str) -> None:
        self.close()
        self._service = BlobServiceClient.from_connection_string(connection_string, retry_total=2)

    def close(self) -> None:
        if self._service is not None:
            self._service.close()
        self._service, self._ready = None, False

    async def prepare(self) -> None:
        """Makes the container; nothing happens where no account is connected."""
        if self._service is None or self._ready:
            return
        with contextlib.suppress(ResourceExistsError):  # another stand-in may share the account
            await asyncio.to_thread(self._service.create_container, CONTAINER)
        self._ready = True

    def url(self, name: str, *, write: bool = False) -> str:
        """A URL with a signature; raises RuntimeError where no account is connected."""
        blob = self.blob(name)
        now = datetime.now(UTC)
        signature = generate_blob_sas(
            str(blob.account_name),
            CONTAINER,
            name,
            account_key=self._account.credential.account_key,
            permission=BlobSasPermissions(read=True, write=write, create=write),
            start=now - _CLOCKS_DIFFER,
            expiry=now + timedelta(seconds=self.settings.url_seconds),
        )
        return f"{blob.url}?{signature}"

    def blob(self, name: str) -> BlobClient:
        return self._account.get_blob_client(CONTAINER, name)

    async def write(self, name: str, body: bytes) -> None:
        await asyncio.to_thread(self.blob(name).upload_blob, body, overwrite=True)

    @property
    def _account(self) -> BlobServiceClient:
        if self._service is None:
            raise RuntimeError("the F&O stand-in has no blob storage")
        return self._service


async def fetch(url: str, file: IO[bytes]) -> None:
    """Downloads a package; raises Crash where that cannot be done."""

    def download() -> None:
        with BlobClient.from_blob_url(url, retry_total=1) as blob:
            blob.download_blob().readinto(file)

    try:
        await asyncio.to_thread(download)
    except (AzureError, ValueError) as error:
        raise Crash(f"the package cannot be downloaded: {str(error).splitlines()[0]}") from error
    file.seek(0)


class BlobSink:
    """A file to write to whose bytes leave for a blob in blocks; memory holds one or two of them.

    `write` only collects; `flush_blocks` sends what is complete, `finish` the rest.
    """

    def __init__(self, blob: BlobClient) -> None:
        self._blob = blob
        self._buffer = bytearray()
        self._blocks: list[BlobBlock] = []

    def write(self, data: bytes) -> int:
        self._buffer += data
        return len(data)

    def flush(self) -> None:
        """Part of a file's interface; blocks are sent by `flush_blocks`."""

    async def flush_blocks(self) -> None:
        while len(self._buffer) >= BLOCK:
            await self._send(bytes(self._buffer[:BLOCK]))
            del self._buffer[:BLOCK]

    async def finish(self) -> None:
        if self._buffer:
            await self._send(bytes(self._buffer))
        await asyncio.to_thread(self._blob.commit_block_list, self._blocks)

    async def _send(self, data: bytes) -> None:
        name = base64.b64encode(f"{len(self._blocks):08}".encode()).decode()
        await asyncio.to_thread(self._blob.stage_block, name, data)
        self._blocks.append(BlobBlock(name))
