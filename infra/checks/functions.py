"""The Bicep functions that the templates use, as far as a deployment's result depends on them."""

from __future__ import annotations

import hashlib
import json
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"
TENANT = "11111111-1111-1111-1111-111111111111"


def _token(*parts: str) -> str:
    """13 characters that follow from the parts, as uniqueString gives them."""
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()
    return "".join(
        "abcdefghijklmnopqrstuvwxyz234567"[int(digest[i : i + 2], 16) % 32] for i in range(13)
    )


def _guid(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "-".join(parts)))


def _union(*values: Any) -> Any:
    if all(isinstance(value, dict) for value in values):
        merged: dict[str, Any] = {}
        for value in values:
            for name, part in value.items():
                old = merged.get(name)
                both = isinstance(part, dict) and isinstance(old, dict)
                merged[name] = _union(old, part) if both else part
        return merged
    return list(dict.fromkeys(item for value in values for item in value))


def _concat(*parts: Any) -> Any:
    if all(isinstance(part, str) for part in parts):
        return "".join(parts)
    return [item for part in parts for item in part]


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _items(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value[key]} for key in sorted(value)]


def _to_object(
    values: list[Any], key: Callable[[Any], str], of: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    return {key(value): of(value) if of else value for value in values}


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concat": _concat,
    "contains": lambda where, what: what in where,
    "empty": lambda value: value is None or len(value) == 0,
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
    "filter": lambda values, keep: [value for value in values if keep(value)],
    "guid": _guid,
    "items": _items,
    "map": lambda values, change: [change(value) for value in values],
    "replace": lambda text, old, new: text.replace(old, new),
    "split": lambda text, at: text.split(at),
    "string": _string,
    "subscription": lambda: {"id": SUBSCRIPTION},
    "subscriptionResourceId": lambda kind, name: f"{SUBSCRIPTION}/providers/{kind}/{name}",
    "tenant": lambda: {"tenantId": TENANT},
    "toLower": str.lower,
    "toObject": _to_object,
    "trim": str.strip,
    "union": _union,
    "uniqueString": _token,
}
