"""Reads rows straight from the stand-ins and compares them with what is expected of them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox.stack import Sandbox

Row = dict[str, Any]


async def rows(sandbox: Sandbox, system: str, name: str) -> list[Row]:
    """All rows of an object or entity set."""
    base = sandbox.salesforce.url if system == "salesforce" else sandbox.d365.url
    answer = await sandbox.http.get(f"{base}/sandbox/state/{name}")
    answer.raise_for_status()
    data = answer.json()
    return list(data["value"] if isinstance(data, dict) else data)


def wrong(label: str, row: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """One sentence for each field that is not as wanted; nothing and "" are the same."""
    for name, value in wanted.items():
        if name not in row:
            yield f"{label}: has no {name}"
        elif _plain(row[name]) != _plain(value):
            yield f"{label}: {name} is {row[name]!r}, should be {value!r}"


def exact(value: object) -> Decimal:
    """A JSON number as it was written; nothing is 0."""
    return Decimal(str(value or 0))


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        return Decimal(str(value))
    return value or ""
