"""The storage of F&O behind the URLs it hands out: files are sent in blocks and read in ranges.

Such a URL carries its own right (SAS), so no token is sent, and the URL itself is never logged or put into
an error. The synchronous SDK runs in threads, as for the app's own state.
"""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any, TypeVar

from integration.deadline import call_timeout
from integration.errors import ContractError, IntegrationError, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer
    from azure.storage.blob import BlobClient

_T = TypeVar("_T")
_CONNECT, _READ = 5.0, 30.0  # seconds
_REFUSED = (400, 401, 403, 404, 409, 410)
RANGE = 1_000_000  # bytes fetched at a time; the SDK needs several times that while it reads


class UrlRefused(Unreachable):
    """The URL has expired or names nothing any more: ask F&O for a new one."""

    reason = "package-url"


async def stage_block(url: str, number: int, data: bytes) -> None:
    """Sends a piece of a file, over an earlier one of its number. Raises UrlRefused, Unreachable."""

    def work(blob: BlobClient) -> None:
        blob.stage_block(_block_id(number), data, length=len(data))

    await asyncio.to_thread(_with_blob, url, work)


async def commit_blocks(url: str, count: int) -> None:
    """Makes the file of its pieces 0 … count-1; again is the same. Raises UrlRefused, Unreachable."""

    def work(blob: BlobClient) -> None:
        from azure.storage.blob import BlobBlock

        blob.commit_block_list([BlobBlock(_block_id(number)) for number in range(count)])

    await asyncio.to_thread(_with_blob, url, work)


class BlobFile(io.RawIOBase):
    """A file behind a URL, seekable, fetched in ranges. For use in a thread.

    Raises UrlRefused and Unreachable while reading; both are no OSError.
    """

    def __init__(self, url: str, *, piece: int = RANGE) -> None:
        self._url = url
        self._length = piece
        self._held = b""
        self._held_at = 0
        self._position = 0
        self.size = _with_blob(url, lambda blob: int(blob.get_blob_properties().size))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self._position >= self.size:
            return 0
        at = self._position - self._held_at
        if not 0 <= at < len(self._held):
            self._fetch()
            at = 0
        view = memoryview(buffer).cast("B")
        piece = self._held[at : at + len(view)]
        view[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)

    def _fetch(self) -> None:
        start, length = self._position, min(self._length, self.size - self._position)

        def work(blob: BlobClient) -> bytes:
            return blob.download_blob(start, length, max_concurrency=1).readall()

        held = _with_blob(self._url, work)
        if not held:
            raise ContractError("a file ended before its size", system="d365")
        self._held, self._held_at = held, start


def _with_blob(url: str, work: Callable[[BlobClient], _T]) -> _T:
    from azure.core.exceptions import AzureError, HttpResponseError
    from azure.storage.blob import BlobClient, ExponentialRetry

    patience: dict[str, Any] = {
        "connection_timeout": _CONNECT,
        "read_timeout": call_timeout(_READ),
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
        # A range comes in one request.
        "max_single_get_size": RANGE,
        "max_chunk_get_size": RANGE,
    }
    try:
        with BlobClient.from_blob_url(url, **patience) as blob:
            return work(blob)
    except ValueError:
        failure: IntegrationError = ContractError("a URL names no file", system="d365")
    except HttpResponseError as error:
        text = f"the storage of data packages answered {error.status_code}"
        if error.status_code in _REFUSED:
            failure = UrlRefused(text, system="d365")
        else:
            failure = Unreachable(text, system="d365", reason="package-storage")
    except AzureError as error:
        text = f"the storage of data packages: {type(error).__name__}"
        failure = Unreachable(text, system="d365", reason="package-storage")
    raise failure  # out here, so that it does not carry the SDK's error, which quotes the URL


def _block_id(number: int) -> str:
    return f"{number:06}"  # all of one length, as the storage demands
