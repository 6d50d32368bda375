"""Values in request bodies and answers: exact decimals, F&O's empty values, its escaped account texts.

F&O has no null for text, numbers and dates; it sends "", 0 and 1900-01-01 (F&O contract 2.5). Decimals
never pass through float: `json_loads` and `json_dumps` keep every digit.
"""

from __future__ import annotations

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from integration.d365.literals import Enum, decimal_text, instant
from integration.errors import ContractError
from integration.exact_json import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

ETAG = "@odata.etag"
_NO_DATE = "1900-01-01"


def json_dumps(value: Any) -> str:
    """JSON with Decimals digit by digit, dates as noon UTC, enums as their member name.

    Floats are refused (TypeError): they would already have lost what this function preserves.
    """
    return write_json(value, _scalar)


def _scalar(value: Any) -> str | None:
    if isinstance(value, Decimal):
        return decimal_text(value)
    if isinstance(value, date):
        return json.dumps(instant(value))
    if isinstance(value, UUID):
        return json.dumps(str(value))
    if isinstance(value, Enum):
        return json.dumps(value.member)
    return None


def json_loads(text: str | bytes) -> Any:
    """JSON with every fractional number as Decimal. Raises ContractError."""
    try:
        return json.loads(text, parse_float=Decimal, parse_constant=_refuse)
    except ValueError:
        # No cause: the decoder's exception holds the whole document.
        raise ContractError("F&O sent JSON that cannot be read", system="d365") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def etag_of(record: Mapping[str, Any]) -> str | None:
    """The version to send back as `If-Match`."""
    etag = record.get(ETAG)
    return etag if isinstance(etag, str) else None


def decode_text(value: Any) -> str | None:
    """ "" → None. Leading blanks are data and stay."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _unexpected("text", value)
    return value


def decode_decimal(value: Any) -> Decimal:
    """A JSON number, exactly. Raises ContractError for anything else."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    raise _unexpected("a number", value)


def decode_date(value: Any) -> date | None:
    """An X++ date: the date part, whatever the time says; 1900-01-01 and "" → None."""
    if value is None or value == "" or (isinstance(value, str) and value.startswith(_NO_DATE)):
        return None
    try:
        return date.fromisoformat(value[:10])
    except (TypeError, ValueError) as error:
        raise _unexpected("a date", value) from error


def decode_datetime(value: Any) -> datetime | None:
    """An X++ utcdatetime, aware; the first of January 1900 and "" → None."""
    if value is None or value == "" or (isinstance(value, str) and value.startswith(_NO_DATE)):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise _unexpected("a time", value) from error
    if moment.tzinfo is None:
        raise _unexpected("a time with its zone", value)
    return moment


def decode_guid(value: Any) -> UUID | None:
    """All zeros → None."""
    if value is None or value == "":
        return None
    try:
        guid = UUID(value)
    except (TypeError, ValueError, AttributeError) as error:
        raise _unexpected("a GUID", value) from error
    return guid if guid.int else None


def decode_display_value(value: Any) -> str | None:
    r"""An account or dimension text: `DAT\-000011` is the account `DAT-000011` (F&O contract 2.5)."""
    text = decode_text(value)
    return None if text is None else re.sub(r"\\(.)", r"\1", text)


def _unexpected(expected: str, value: Any) -> ContractError:
    return ContractError(
        f"F&O sent {type(value).__name__} where {expected} was expected", system="d365"
    )
