"""The message that travels: a reference to a record that may be out of step, never the record itself.

Body: JSON, versioned, unknown members ignored. All facts travel in the body because JSON members can
overwrite broker metadata on the way into a function (Functions contract D).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, Self

from integration.errors import ContractError

VERSION = 1
Source = Literal["salesforce", "d365"]


class UnknownHintVersion(ContractError):
    """A newer instance wrote this hint; during a rolling update versions mix, so it is tried again."""

    reason = "unknown-hint-version"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """`root` is the business key that decides the bucket (the account for an account, contact or order).

    `attempt` counts deliveries that tried the record, `put_backs` the waits that did not count, `replay`
    how often a person sent it again. `seen_at` is when the change was first accepted (UTC); `trace` a W3C
    traceparent that joins everything done for it; `reply_to` names the blob of somebody who waits for the
    outcome (`state.replies`).
    """

    source: Source
    object: str
    key: str
    event_id: str
    seen_at: datetime
    root: str | None = None
    company: str | None = None
    attempt: int = 1
    put_backs: int = 0
    replay: int = 0
    trace: str | None = None
    reply_to: str | None = None

    @property
    def message_id(self) -> str:
        """Unique per event and delivery, so that the broker drops doubles but never a later attempt."""
        text = f"{self.event_id}:{self.attempt}:{self.put_backs}:{self.replay}"
        if len(text) <= 128:  # the broker's limit (Azure contract 2)
            return text
        return hashlib.sha256(text.encode()).hexdigest()

    def later(self, *, uses_attempt: bool) -> Self:
        if uses_attempt:
            return replace(self, attempt=self.attempt + 1)
        return replace(self, put_backs=self.put_backs + 1)

    def moved_to(self, root: str, key: str | None = None) -> Self:
        """The same change, addressed to the bucket of `root`."""
        return replace(self, root=root, key=key or self.key, put_backs=self.put_backs + 1)

    def to_json(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "v": VERSION,
            "source": self.source,
            "object": self.object,
            "key": self.key,
            "root": self.root,
            "company": self.company,
            "attempt": self.attempt,
            "put_backs": self.put_backs,
            "replay": self.replay,
            "event_id": self.event_id,
            "seen_at": self.seen_at.isoformat(),
            "trace": self.trace,
        }
        return data if self.reply_to is None else {**data, "reply_to": self.reply_to}

    def to_bytes(self) -> bytes:
        return json.dumps(self.to_json(), separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Self:
        """Raises UnknownHintVersion for a newer JSON form, ContractError for anything else."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise ContractError("the message is not JSON") from error
        if not isinstance(data, dict):
            raise ContractError("the message is not a JSON object")
        version = data.get("v")
        if not isinstance(version, int) or isinstance(version, bool):
            raise ContractError("the message names no hint version")
        if version != VERSION:
            raise UnknownHintVersion(f"hint version {version}, known is {VERSION}")
        try:
            return cls(
                source=_one_of(data, "source", ("salesforce", "d365")),
                object=_text(data, "object"),
                key=_text(data, "key"),
                event_id=_text(data, "event_id"),
                seen_at=_time(data, "seen_at"),
                root=_text_or_none(data, "root"),
                company=_text_or_none(data, "company"),
                attempt=_count(data, "attempt", 1),
                put_backs=_count(data, "put_backs", 0),
                replay=_count(data, "replay", 0),
                trace=_text_or_none(data, "trace"),
                reply_to=_text_or_none(data, "reply_to"),
            )
        except ValueError as error:
            raise ContractError(f"the hint's {error}") from error


def bucket_of(root: str, buckets: int) -> str:
    """The session id: a stable hash of the root key, the same in every process and release."""
    digest = hashlib.sha256(root.encode()).digest()
    return f"bucket-{int.from_bytes(digest[:8], 'big') % buckets:03d}"


def session_of(hint: Hint, buckets: int) -> str:
    return bucket_of(hint.root or hint.key, buckets)


def _text(data: dict[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} is missing or not text")
    if any("\ud800" <= letter <= "\udfff" for letter in value):  # JSON may escape half a pair
        raise ValueError(f"{name} holds a character that cannot be encoded")
    return value


def _text_or_none(data: dict[str, Any], name: str) -> str | None:
    return None if data.get(name) in (None, "") else _text(data, name)


def _one_of(data: dict[str, Any], name: str, allowed: tuple[Source, ...]) -> Source:
    for value in allowed:
        if data.get(name) == value:
            return value
    raise ValueError(f"{name} is not one of {', '.join(allowed)}")


def _count(data: dict[str, Any], name: str, least: int) -> int:
    value = data.get(name, least)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is not a number from {least}")
    return value


def _time(data: dict[str, Any], name: str) -> datetime:
    try:
        value = datetime.fromisoformat(_text(data, name))
    except ValueError:
        raise ValueError(f"{name} is not a time") from None
    if value.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return value
