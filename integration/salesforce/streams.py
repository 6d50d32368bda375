"""An answer read as it comes, for the result files of Bulk API 2.0: they do not fit into memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from integration.deadline import call_timeout
from integration.salesforce.errors import Effect, lost_answer

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping


class StreamedAnswer:
    """The head has arrived and is a success; the body has not. `limit` is the seconds between pieces."""

    def __init__(self, response: httpx.Response, operation: str, limit: float) -> None:
        self._response = response
        self._operation = operation
        self._limit = limit

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body, unpacked, in pieces of some kilobytes. Raises Unreachable where the connection breaks
        in the middle, DeadlineReached where the batch's time is over."""
        pieces = self._response.aiter_bytes()
        while True:
            try:
                async with asyncio.timeout(call_timeout(self._limit)):
                    piece = await anext(pieces, None)
            except (httpx.RequestError, TimeoutError) as error:
                cause = f"{type(error).__name__} inside the answer"
                raise lost_answer(
                    cause, operation=self._operation, effect=Effect.READ, sent=True
                ) from error
            if piece is None:
                return
            yield piece

    async def close(self) -> None:
        """Gives the connection back, or closes it where something is unread."""
        await self._response.aclose()
