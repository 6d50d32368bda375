"""Messages of the queue `changes` that no flow of this release can take.

A rolling update mixes releases: what only a newer one understands waits for an instance of it, and is kept
with its reason when none comes. Bytes that nobody can read are kept at once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from integration import telemetry
from integration.messaging.dead_letters import DeadLetter

if TYPE_CHECKING:
    from integration.flows.endings import Outbox
    from integration.messaging.hints import Hint, UnknownHintVersion

# A rolling update takes minutes; what is still unknown after these waits is not coming.
_VERSION_TRIES = 4
_VERSION_WAIT = 60.0
_ID_STEM = 100  # characters of a message id that leave room for a suffix within the broker's 128


class Strangers:
    """Raises Unreachable (service_bus)."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    async def unknown_object(self, hint: Hint) -> None:
        """A newer instance took it in; it waits for one, as a hint of an unknown version does."""
        if hint.put_backs < _VERSION_TRIES:
            await self._outbox.schedule(hint.later(uses_attempt=False), _VERSION_WAIT)
            telemetry.record_outcome("none", "retry", "no-flow")
            return
        await self._outbox.dead_letter(
            DeadLetter(
                kind="failed",
                flow="none",
                reason="no-flow",
                description=f"no flow handles {hint.object} of {hint.source}",
                system="app",
                hint=hint,
            )
        )
        telemetry.record_outcome("none", "dead-letter", "no-flow")

    async def unknown_version(
        self, body: bytes, session: str, message_id: str, error: UnknownHintVersion
    ) -> None:
        """Puts it back for an instance of the newer release, then gives it up as undecodable."""
        base, _, tried = message_id.rpartition("+v")
        waits = int(tried) if base and tried.isdigit() else 0
        if waits >= _VERSION_TRIES:
            await self.undecodable(body, error)
            return
        stem = base if waits else message_id
        if not stem or len(stem) > _ID_STEM:
            stem = hashlib.sha256(stem.encode() or body).hexdigest()
        await self._outbox.schedule_raw(
            body, session=session, message_id=f"{stem}+v{waits + 1}", delay=_VERSION_WAIT
        )
        telemetry.record_outcome("none", "retry", error.reason)

    async def undecodable(self, body: bytes, error: Exception) -> None:
        reason = getattr(error, "reason", "undecodable")
        await self._outbox.dead_letter(
            DeadLetter(
                kind="undecodable",
                flow="none",
                reason=reason,
                description=str(error),
                system="app",
                body=body,
            )
        )
        telemetry.record_outcome("none", "dead-letter", reason)
