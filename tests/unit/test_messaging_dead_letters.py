"""The record of a hint that reached its end: readable, small enough, written once."""

import base64
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from integration.messaging.dead_letters import DeadLetter
from integration.messaging.hints import Hint

AT = datetime(2025, 3, 1, tzinfo=UTC)
HINT = Hint(
    source="salesforce", object="Account", key="001Aa0000000001IAA", event_id="event", seen_at=AT
)


def letter(**changes: Any) -> DeadLetter:
    values: dict[str, Any] = {
        "kind": "failed",
        "flow": "accounts",
        "reason": "validation",
        "description": "the group is missing",
        "system": "d365",
        "hint": HINT,
    }
    return DeadLetter(**{**values, **changes})


def test_the_body_tells_what_happened_and_holds_the_hint() -> None:
    assert json.loads(letter().to_bytes(AT)) == {
        "v": 1,
        "kind": "failed",
        "flow": "accounts",
        "reason": "validation",
        "description": "the group is missing",
        "system": "d365",
        "at": "2025-03-01T00:00:00+00:00",
        "hint": HINT.to_json(),
        "body": None,
    }


def test_an_undecodable_message_is_kept_byte_by_byte() -> None:
    raw = bytes(range(256))
    data = json.loads(letter(kind="undecodable", hint=None, body=raw).to_bytes())
    assert base64.b64decode(data["body"]) == raw
    assert data["hint"] is None


def test_the_reason_and_the_description_fit_the_broker() -> None:
    properties = letter(reason="r" * 100, description="d" * 5000).properties
    assert properties == {
        "DeadLetterReason": "r" * 64,
        "DeadLetterErrorDescription": "d" * 4096,
    }


def test_the_longest_dead_letter_fits_a_message_of_the_standard_tier() -> None:
    longest = letter(description="ü" * 5000, hint=None, body=b"x" * 1_000_000)
    assert len(longest.to_bytes()) + 4 * 4096 < 256 * 1024


def test_half_characters_in_a_foreign_text_do_not_stop_a_dead_letter() -> None:
    broken = letter(description="name \ud800 refused")
    assert json.loads(broken.to_bytes())["description"] == "name ? refused"
    assert broken.properties["DeadLetterErrorDescription"] == "name ? refused"


def test_the_message_id_follows_from_the_delivery_so_that_a_crash_cannot_double_it() -> None:
    again = letter(description="another text", reason="other")
    assert letter().message_id == again.message_id == "failed:event:1:0:0"
    later = letter(hint=HINT.later(uses_attempt=True)).message_id
    assert later != letter().message_id


def test_the_message_id_fits_the_broker() -> None:
    for event_id in ("e" * 113, "e" * 122, "e" * 500):
        assert len(letter(hint=replace(HINT, event_id=event_id)).message_id) <= 128


def test_undecodable_messages_are_told_apart_by_their_bytes() -> None:
    one, same, other = (
        letter(kind="undecodable", hint=None, body=body).message_id for body in (b"1", b"1", b"2")
    )
    assert one == same != other
