"""What an error answer of Salesforce says, whatever its shape.

REST sends an array of `errorCode`, collections send `statusCode` per row, OAuth sends one object, and a
gateway may send HTML or XML instead (Salesforce contract 0, 1.4, 1.5, 2.11).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from integration.salesforce.ids import is_id, to_18

MESSAGE_LIMIT = 500  # a validation text may quote the record

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}", re.ASCII)
_IN_TEXT = re.compile(
    r"<errorCode>\s*(\w+)\s*</errorCode>|\b(INVALID_SESSION_ID|LOGIN_OAUTH_INVALID_TOKEN)\b"
)
_ID_IN_MESSAGE = re.compile(r"\bid:\s*([0-9A-Za-z]{18}|[0-9A-Za-z]{15})\b")


@dataclass(frozen=True, slots=True)
class Fault:
    """One entry of an error answer. `existing_ids` are the rows a duplicate was found in."""

    code: str
    message: str = ""
    fields: tuple[str, ...] = ()
    existing_ids: tuple[str, ...] = ()

    def __str__(self) -> str:
        named = [field for field in self.fields if field not in self.message]
        return f"{self.code}: {self.message}" + (f" [{', '.join(named)}]" if named else "")


def read_faults(body: object) -> list[Fault]:
    """Every fault in a parsed JSON body or a text; empty where it holds none."""
    if isinstance(body, str):
        return [Fault(found[1] or found[2]) for found in _IN_TEXT.finditer(body)][:1]
    if isinstance(body, Mapping):
        inner = body.get("errors")
        if isinstance(inner, list) and inner:
            return read_faults(inner)
        fault = _fault(body)
        return [fault] if fault else []
    if isinstance(body, list):
        return [fault for entry in body if isinstance(entry, Mapping) and (fault := _fault(entry))]
    return []


def describe(faults: list[Fault]) -> str:
    """All of them for people, on one line, cut."""
    return "; ".join(str(fault) for fault in faults)[:MESSAGE_LIMIT]


def _fault(entry: Mapping[str, object]) -> Fault | None:
    code = entry.get("errorCode") or entry.get("statusCode") or entry.get("error")
    if not isinstance(code, str):
        return None
    message = entry.get("message") or entry.get("error_description") or ""
    text = " ".join(str(message).split())
    fields = entry.get("fields")
    return Fault(
        code=code if _CODE.fullmatch(code) else "unknown-code",
        message=text,
        fields=tuple(str(name) for name in fields) if isinstance(fields, list) else (),
        existing_ids=tuple(dict.fromkeys(_existing(entry, text))),
    )


def _existing(entry: Mapping[str, object], message: str) -> Iterator[str]:
    # Salesforce itself misspells the key; both forms occur (Salesforce contract 2.11).
    result = entry.get("duplicateResut") or entry.get("duplicateResult")
    if isinstance(result, Mapping):
        yield from _matched(result)
    elif "DUPLICATE" in str(entry.get("errorCode") or entry.get("statusCode")):
        yield from (to_18(found) for found in _ID_IN_MESSAGE.findall(message) if is_id(found))


def _matched(result: Mapping[str, object]) -> Iterator[str]:
    for match in _mappings(result.get("matchResults")):
        for row in _mappings(match.get("matchRecords")):
            record = row.get("record")
            found = record.get("Id") if isinstance(record, Mapping) else None
            if isinstance(found, str) and is_id(found):
                yield to_18(found)


def _mappings(value: object) -> list[Mapping[str, object]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []
