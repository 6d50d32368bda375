"""What a change event says: raw Avro bytes into a `Change` (Salesforce contracts 5.1 and 6.5).

Changed fields come as bitmaps over the positions of the Avro record; the names are worked out here. An
event without names of records (overflow, wildcard) stays visible as one: its records must be read again.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import fastavro
from fastavro.schema import SchemaParseException

from integration.errors import ContractError
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HEADER = "ChangeEventHeader"
Kind = Literal["CREATE", "UPDATE", "DELETE", "UNDELETE"]
_KINDS: tuple[Kind, ...] = ("CREATE", "UPDATE", "DELETE", "UNDELETE")
_GAP = "GAP_"
OVERFLOW = "GAP_OVERFLOW"
_CLIENT = ";client="


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One event. `ids` have 18 characters; none, where all records of the object must be read again.

    `gap` says that Salesforce could not tell what changed, only that something did. `changed` names
    fields, nested ones as Parent.Child; it is empty for a creation and a gap.
    """

    object: str
    kind: Kind | None
    ids: tuple[str, ...]
    event_id: str
    at: datetime
    user: str
    client: str
    changed: tuple[str, ...] = ()
    gap: bool = False


class Schema:
    """One Avro schema, as GetSchema returned it. Raises ContractError where it is none."""

    def __init__(self, text: str) -> None:
        try:
            self._record: Any = json.loads(text)
            self._parsed: Any = fastavro.parse_schema(self._record, _write_hint=False)
            self._fields: list[Any] = self._record["fields"]
        except (ValueError, KeyError, TypeError, SchemaParseException) as error:
            raise ContractError(
                "the schema of a change event cannot be read", system="salesforce"
            ) from error

    def change(self, payload: bytes) -> Change:
        """Raises ContractError where the payload does not fit."""
        try:
            record: Any = fastavro.schemaless_reader(io.BytesIO(payload), self._parsed, None)
            header: Mapping[str, Any] = record[HEADER]
            return self._change(header)
        except ContractError:
            raise
        except Exception as error:  # a decoder of foreign bytes may raise anything
            raise ContractError(
                f"a change event cannot be decoded ({type(error).__name__})", system="salesforce"
            ) from error

    def _change(self, header: Mapping[str, Any]) -> Change:
        told = str(header["changeType"])
        kind = told.removeprefix(_GAP)
        ids = [str(each).strip() for each in header["recordIds"] or ()]
        named = bool(ids) and all(is_id(each) for each in ids) and told != OVERFLOW
        origin = str(header.get("changeOrigin") or "")
        return Change(
            object=str(header["entityName"]),
            kind=kind if kind in _KINDS else None,
            ids=tuple(to_18(each) for each in ids) if named else (),
            event_id=f"{header['transactionKey']}/{header['sequenceNumber']}",
            at=datetime.fromtimestamp(int(header["commitTimestamp"]) / 1000, UTC),
            user=str(header.get("commitUser") or ""),
            client=origin.partition(_CLIENT)[2],
            changed=tuple(field_names(header.get("changedFields") or (), self._fields)),
            gap=told.startswith(_GAP) or not named,
        )


def field_names(bitmaps: Iterable[str], fields: list[Any]) -> list[str]:
    """Names of the Avro `fields` whose bits are set.

    `0x…` is the record's own bitmap, `P-0x…` that of the nested record at position P; anything else is a
    name already. Raises ContractError for a position that the schema does not have.
    """
    names: list[str] = []
    for text in bitmaps:
        parent, dash, mask = text.rpartition("-")
        if text.startswith("0x"):
            names += [_name(fields, bit) for bit in _bits(text)]
        elif dash and mask.startswith("0x") and parent.isdecimal():
            position = int(parent)
            outer, inner = _name(fields, position), _nested(fields[position])
            names += [f"{outer}.{_name(inner, bit)}" for bit in _bits(mask)]
        else:
            names.append(text)
    return names


def _bits(mask: str) -> list[int]:
    number = int(mask, 16)
    return [bit for bit in range(number.bit_length()) if number >> bit & 1]


def _name(fields: list[Any], position: int) -> str:
    if position >= len(fields):
        raise ContractError(
            f"a change event names field {position} of {len(fields)}", system="salesforce"
        )
    return str(fields[position]["name"])


def _nested(field: Any) -> list[Any]:
    """The fields of the record branch of a union (or of the type itself)."""
    types = field["type"] if isinstance(field["type"], list) else [field["type"]]
    for each in types:
        if isinstance(each, dict) and "fields" in each:
            found: list[Any] = each["fields"]
            return found
    return []
