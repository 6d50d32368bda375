"""The record kept of a hint that reached its end without being in step.

Body of a message on the queue `dead-letter` (JSON):
{"v":1,"kind":"failed"|"review"|"undecodable","flow":"accounts","reason":"validation","description":"…",
 "system":"d365","at":"…","hint":{…}|null,"body":"<base64 of an undecodable message>"|null}
Of a body longer than 128 KiB only the beginning is kept, because the queue itself takes 256 KB (Standard).
The reason and description are application properties too, under the names that Service Bus Explorer shows.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from integration.errors import DESCRIPTION_LIMIT, REASON_LIMIT

if TYPE_CHECKING:
    from integration.messaging.hints import Hint

Kind = Literal["failed", "review", "undecodable"]
BODY_LIMIT = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    kind: Kind
    flow: str
    reason: str
    description: str
    system: str
    hint: Hint | None = None
    body: bytes | None = None

    @property
    def message_id(self) -> str:
        """Follows from the delivery that failed, so a crash between copy and completion cannot double it."""
        if self.hint is not None:
            text = f"{self.kind}:{self.hint.message_id}"
            return text if len(text) <= 128 else hashlib.sha256(text.encode()).hexdigest()
        return f"{self.kind}:{hashlib.sha256(self.body or b'').hexdigest()}"

    @property
    def properties(self) -> dict[str | bytes, Any]:
        return {
            "DeadLetterReason": _text(self.reason, REASON_LIMIT),
            "DeadLetterErrorDescription": _text(self.description, DESCRIPTION_LIMIT),
        }

    def to_bytes(self, at: datetime | None = None) -> bytes:
        data: dict[str, Any] = {
            "v": 1,
            "kind": self.kind,
            "flow": self.flow,
            "reason": _text(self.reason, REASON_LIMIT),
            "description": _text(self.description, DESCRIPTION_LIMIT),
            "system": self.system,
            "at": (at or datetime.now(UTC)).isoformat(),
            "hint": self.hint.to_json() if self.hint else None,
            "body": None
            if self.body is None
            else base64.b64encode(self.body[:BODY_LIMIT]).decode(),
        }
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def _text(value: str, limit: int) -> str:
    """Cut, and without the half characters that JSON may hold but AMQP cannot."""
    return value[:limit].encode(errors="replace").decode()
