"""Announces creates that F&O could not refuse a second time, and forgets those that are over.

See `state.intents`; this is its use for the keys of one batch, which lie in several buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import IntegrationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.state.intents import CreateIntents


class Announcements:
    """`kind` is what is created, e.g. "orders"."""

    def __init__(self, intents: CreateIntents, kind: str) -> None:
        self._intents = intents
        self._kind = kind

    async def announce(self, buckets: Mapping[str, str]) -> dict[str, Exception]:
        """Durable when it returns. The keys that must wait, or whose intent could not be saved."""
        refused: dict[str, Exception] = {}
        for bucket, keys in _by_bucket(buckets).items():
            try:
                refused |= (await self._intents.reserve(self._kind, bucket, keys)).pending
            except IntegrationError as error:
                refused |= dict.fromkeys(keys, error)
        return refused

    async def settle(self, buckets: Mapping[str, str], done: Iterable[str]) -> None:
        """If it fails, the quarantine ends them and a read finds what was made."""
        finished = {key: buckets[key] for key in done if key in buckets}
        for bucket, keys in _by_bucket(finished).items():
            try:
                await self._intents.release(self._kind, bucket, keys)
            except IntegrationError:
                return


def _by_bucket(buckets: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for key, bucket in buckets.items():
        grouped.setdefault(bucket, []).append(key)
    return grouped
