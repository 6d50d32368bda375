"""The file of one ingest job: a header row and the parts of a spool, from one part on, up to a size.

It is cut while it is sent, and in the same places each time, so that neither a repeated upload nor a step
that comes after a crash needs to know more than the first part and the size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.salesforce.bulk_csv import encode_rows

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from integration.state.spool import Spool


class BulkFile:
    """`end` is the number of the first part that is left for the next file, `size` the bytes and `parts` the
    number of parts: as far as the last stream has come."""

    def __init__(self, spool: Spool, columns: Sequence[str], first: int, limit: int) -> None:
        self._spool = spool
        self._header = encode_rows([columns])
        self._first = first
        self._limit = limit
        self._start()

    def _start(self) -> None:
        self.end, self.size, self.parts = self._first, 0, 0

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """At least one part, and further ones until the next would exceed the limit."""
        self._start()
        self.size = len(self._header)
        yield self._header
        for number in await self._spool.parts():
            if number < self._first:
                continue
            body = await self._spool.get(number)
            if self.parts and self.size + len(body) > self._limit:
                return
            self.end = number + 1
            if body:  # an empty piece would end an HTTP body that has no length
                self.size += len(body)
                self.parts += 1
                yield body

    async def measure(self) -> int:
        """`end`, found by reading the parts again: for a file that was sent by a process that is gone."""
        async for _ in self.stream():
            pass
        return self.end

    async def is_empty(self) -> bool:
        """True where no part is left to send. Reads no further than the first that is not empty."""
        for number in await self._spool.parts():
            if number >= self._first and await self._spool.get(number):
                return False
        return True
