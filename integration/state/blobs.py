"""Small documents in the blob container `integration-state`, written with ETag compare-and-swap.

The synchronous SDK runs in threads: it needs no HTTP stack of its own, and state is a handful of calls
per batch. Raises StateConflict when somebody else wrote first, Unreachable (system storage) otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from integration.errors import IntegrationError, Unreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from azure.storage.blob import ContainerClient

_T = TypeVar("_T")
ABSENT: Literal["absent"] = "absent"


class StateConflict(IntegrationError):
    """The document changed since it was read."""

    reason = "state-conflict"


@dataclass(frozen=True, slots=True)
class Document:
    body: bytes
    etag: str


class BlobState:
    def __init__(self, container: ContainerClient) -> None:
        self._container = container
        self._made = False
        self._making = asyncio.Lock()

    async def read(self, name: str) -> Document | None:
        """None where there is no such document."""
        return await self._run(name, lambda: self._read(name))

    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str:
        """Writes and returns the new ETag. `expected` is the ETag read before, ABSENT, or None for any."""
        return await self._run(name, lambda: self._write(name, body, expected))

    async def delete(self, name: str) -> None:
        await self._run(name, lambda: self._delete(name))

    async def names(self, prefix: str) -> AsyncIterator[str]:
        """All documents whose name starts with `prefix`, page by page."""
        token: str | None = None
        while True:
            page, token = await self._run(prefix, partial(self._page, prefix, token))
            for name in page:
                yield name
            if token is None:
                return

    async def _run(self, name: str, work: Callable[[], _T]) -> _T:
        from azure.core.exceptions import (
            AzureError,
            ResourceExistsError,
            ResourceModifiedError,
        )

        try:
            await self._make_container()
            return await asyncio.to_thread(work)
        except (ResourceModifiedError, ResourceExistsError) as error:
            raise StateConflict(f"{name} was changed by somebody else", system="storage") from error
        except AzureError as error:
            # A refusal has a code, e.g. AuthorizationPermissionMismatch; its text would name the URL.
            code = getattr(error, "error_code", None) or getattr(error, "status_code", None)
            raise Unreachable(
                f"state {name}: {type(error).__name__}" + (f" ({code})" if code else ""),
                system="storage",
                reason="state-unavailable",
            ) from error

    async def _make_container(self) -> None:
        if self._made:
            return
        async with self._making:
            if not self._made:
                await asyncio.to_thread(self._create_container)
                self._made = True

    def _create_container(self) -> None:
        from azure.core.exceptions import ResourceExistsError

        if not self._container.exists():
            with contextlib.suppress(ResourceExistsError):  # another instance made it just now
                self._container.create_container()

    def _page(self, prefix: str, token: str | None) -> tuple[list[str], str | None]:
        blobs = self._container.list_blob_names(name_starts_with=prefix)
        pages: Any = blobs.by_page(token)  # the SDK types it as a plain iterator
        return list(next(pages, ())), pages.continuation_token or None

    def _read(self, name: str) -> Document | None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            stream = self._container.download_blob(name)
            return Document(stream.readall(), stream.properties.etag)
        except ResourceNotFoundError:
            return None

    def _write(self, name: str, body: bytes, expected: str | None) -> str:
        from azure.core import MatchConditions

        blob = self._container.get_blob_client(name)
        if expected is None:
            answer = blob.upload_blob(body, overwrite=True)
        elif expected == ABSENT:
            answer = blob.upload_blob(body, overwrite=False)
        else:
            answer = blob.upload_blob(
                body,
                overwrite=True,
                etag=expected,
                match_condition=MatchConditions.IfNotModified,
            )
        return str(answer["etag"])

    def _delete(self, name: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        try:
            self._container.delete_blob(name)
        except ResourceNotFoundError:
            return
