"""The body of an event in every form it may arrive in, as one mapping of members (F&O contract 7.2-7.5).

Forms: the flat envelope; the same proxied through Dataverse, inside or beside a RemoteExecutionContext;
either of them wrapped as a DataContract string; a data event, whose record travels as attributes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from integration.errors import ContractError

Record = Mapping[str, Any]

_PARAMETERS = ("InputParameters", "SharedVariables", "OutputParameters")
_IMAGES = ("PreEntityImages", "PostEntityImages", "PreImage")
_NET_DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRAPPED_TRIES = 8  # a length byte in front of the JSON may look like `{`


def read_time(value: object) -> datetime | None:
    """`2022-12-30T13:51:15.2942742Z` or `/Date(1672408275000)/`; None for 1900, "" and anything else."""
    if not isinstance(value, str):
        return None
    try:
        if match := _NET_DATE.fullmatch(value.strip()):
            moment = _EPOCH + timedelta(milliseconds=int(match[1]))
        else:
            moment = datetime.fromisoformat(value.strip())
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None or moment.year <= 1900:
        return None
    return moment.astimezone(UTC)


def read_document(body: bytes) -> dict[str, Any]:
    """The JSON object of the body, alone or inside a DataContract string (F&O contract 7.4)."""
    data = _json(body)
    if isinstance(data, str):
        data = _json(data.encode(errors="replace"))
    start, end = body.find(b"{"), body.rfind(b"}") + 1
    for _ in range(_WRAPPED_TRIES):
        if isinstance(data, dict) or start < 0 or end <= start:
            break
        data = _json(body[start:end])
        start = body.find(b"{", start + 1)
    if not isinstance(data, dict):
        raise ContractError("the message holds no JSON object", system="d365")
    return data


def _json(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None


def attributes(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of the record, those after the change last."""
    found: dict[str, Any] = {}
    images = [_pairs(data.get(name)) for name in _IMAGES]
    parameters = [_pairs(data.get(name)) for name in _PARAMETERS]
    for pairs in (*images, *parameters):
        for entity in pairs.values():
            if isinstance(entity, Mapping):
                found |= _lowered(_pairs(entity.get("Attributes")))
    return found


def _lowered(fields: Record) -> dict[str, Any]:
    return {name.lower(): _plain(value) for name, value in fields.items()}


def _plain(value: Any) -> Any:
    """Option sets, money and references are wrapped (F&O contract 7.5)."""
    if isinstance(value, Mapping):
        return value.get("Value", value.get("Id"))
    return value


def _pairs(value: Any) -> dict[str, Any]:
    """`[{"key":…,"value":…}]`, which is how Dataverse writes a dictionary; a plain object is taken too."""
    if isinstance(value, Mapping):
        return {"": value, **value} if "Attributes" in value else dict(value)
    if not isinstance(value, list):
        return {}
    rows = [
        {str(name).lower(): part for name, part in item.items()}
        for item in value
        if isinstance(item, Mapping)
    ]
    return {str(row["key"]): row.get("value") for row in rows if "key" in row}


def flat_members(data: dict[str, Any]) -> Record | None:
    """The flat envelope: the body itself, or what Dataverse carries it in."""
    candidates: list[Any] = [data]
    for name in _PARAMETERS:
        pairs = _pairs(data.get(name))
        candidates.append(pairs)
        for value in pairs.values():
            if isinstance(value, str) and value.lstrip().startswith("{"):
                candidates.append(_json(value.encode(errors="replace")))
            elif isinstance(value, Mapping):
                candidates += [value, _pairs(value.get("Attributes"))]
    for candidate in candidates:
        if isinstance(candidate, Mapping) and isinstance(candidate.get("BusinessEventId"), str):
            return {name: _plain(value) for name, value in candidate.items()}
    return None
