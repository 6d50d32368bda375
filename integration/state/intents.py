"""Remembers creates that were begun, because a timed-out create may still be running inside F&O.

A create without a server-unique key is announced here first. While the announcement is younger than the
quarantine, a later attempt for the same record may only read; after it, the earlier create is surely
over and reading decides. One document per bucket: a bucket has one holder, so nobody fights over it
(design, ideas 3 and 5). Document: {"<record key>": "<UTC time>"}.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from integration.errors import CreatePending
from integration.state.blobs import ABSENT, StateConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from integration.state.blobs import Document

_TRIES = 5


class DocumentStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...


@dataclass(frozen=True, slots=True)
class Reservation:
    """`granted` keys may be created now; `pending` must wait, each with its error."""

    granted: frozenset[str]
    pending: dict[str, CreatePending]


class CreateIntents:
    def __init__(
        self,
        state: DocumentStore,
        *,
        quarantine: timedelta,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._state = state
        self._quarantine = quarantine
        self._clock = clock

    async def reserve(self, kind: str, bucket: str, keys: Iterable[str]) -> Reservation:
        """Announces creates of `kind` (e.g. "customers"). Durable when it returns."""
        wanted = list(keys)
        now = self._clock()

        def announce(young: dict[str, datetime]) -> dict[str, datetime]:
            return {**young, **{key: now for key in wanted if key not in young}}

        before = await self._update(kind, bucket, announce)
        pending = {
            key: CreatePending(
                f"a create begun at {before[key]:%H:%M:%S} UTC may still be running",
                retry_after=(before[key] + self._quarantine - now).total_seconds(),
                system="d365",
            )
            for key in wanted
            if key in before
        }
        return Reservation(frozenset(wanted) - pending.keys(), pending)

    async def release(self, kind: str, bucket: str, keys: Iterable[str]) -> None:
        """Forgets creates whose end is known."""
        done = set(keys)
        if done:
            await self._update(
                kind, bucket, lambda young: {k: at for k, at in young.items() if k not in done}
            )

    async def _update(
        self,
        kind: str,
        bucket: str,
        change: Callable[[dict[str, datetime]], dict[str, datetime]],
    ) -> dict[str, datetime]:
        """Compare-and-swap; returns the young announcements from before the change."""
        name = f"intents/{kind}/{bucket}.json"
        for _ in range(_TRIES):
            document = await self._state.read(name)
            stored = json.loads(document.body) if document else {}
            oldest = self._clock() - self._quarantine
            times = {key: datetime.fromisoformat(at) for key, at in stored.items()}
            young = {key: at for key, at in times.items() if at > oldest}
            body = json.dumps({k: at.isoformat() for k, at in change(young).items()}).encode()
            try:
                await self._state.write(name, body, expected=document.etag if document else ABSENT)
            except StateConflict:
                continue
            return young
        raise StateConflict(f"{name} kept changing", system="storage")
