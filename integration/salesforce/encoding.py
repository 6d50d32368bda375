"""The one way each kind of text leaves for Salesforce: JSON bodies, path segments, API names.

A value from a record never reaches a path or a query any other way, so it cannot change their meaning.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal
from urllib.parse import quote

from integration.exact_json import decimal_text, write_json

_API_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*", re.ASCII)
_FIELD_PATH = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*", re.ASCII)


def api_name(name: str) -> str:
    """`name` where it can be the API name of an object or field. Raises ValueError otherwise."""
    if not _API_NAME.fullmatch(name):
        raise ValueError(f"not a Salesforce API name: {name[:80]!r}")
    return name


def field_path(name: str) -> str:
    """As `api_name`, but relationships may be walked: `Account.Owner.Name`."""
    if not _FIELD_PATH.fullmatch(name):
        raise ValueError(f"not a Salesforce field: {name[:80]!r}")
    return name


def segment(value: str) -> str:
    """One path segment. `/`, `+` and blanks are encoded (Salesforce contract 2.2), and so are `.` and
    `..`, which URL libraries would take as directories. Raises ValueError when empty."""
    if not value:
        raise ValueError("a path segment cannot be empty")
    if value in (".", ".."):
        return value.replace(".", "%2E")
    return quote(value, safe="")


def instant(value: datetime) -> str:
    """UTC with `Z`; milliseconds only where there are any. Raises ValueError without a time zone."""
    if value.tzinfo is None:
        raise ValueError("a datetime for Salesforce needs a time zone")
    value = value.astimezone(UTC).replace(tzinfo=None)
    return value.isoformat(timespec="milliseconds" if value.microsecond else "seconds") + "Z"


def to_json(value: object) -> bytes:
    """UTF-8 JSON; dates, aware datetimes and Decimals allowed, floats not. Raises ValueError or TypeError."""
    return write_json(value, _scalar).encode()


def _scalar(value: object) -> str | None:
    if isinstance(value, Decimal):
        text = decimal_text(value)
        # A whole number has no fraction, because it may be for a field without decimals.
        return text.partition(".")[0] if value == value.to_integral_value() else text
    if isinstance(value, datetime):
        return json.dumps(instant(value))
    if isinstance(value, date):
        return json.dumps(value.isoformat())
    return None
