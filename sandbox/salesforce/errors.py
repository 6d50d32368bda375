"""Errors as the REST API answers them.

One `ApiError` holds one or more problems, because validation rules report several at once. The same
error is an array of `{"message","errorCode","fields"}` as an HTTP body and a list of
`{"statusCode","message","fields"}` inside a Collections row (Salesforce contract 0).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Problem:
    code: str
    message: str
    fields: tuple[str, ...] | None = None
    extra: dict[str, Any] = field(default_factory=dict)


class ApiError(Exception):
    """What a client did wrong or what a rule refused; `status` is the HTTP status of a row call."""

    def __init__(self, status: int, *problems: Problem) -> None:
        super().__init__("; ".join(p.message for p in problems))
        self.status = status
        self.problems = problems

    @classmethod
    def of(cls, code: str, message: str, *fields: str, status: int = 400, **extra: Any) -> Self:
        """An error of a write: the `fields` list is always present, even when empty."""
        return cls(status, Problem(code, message, fields, extra))

    @classmethod
    def plain(cls, code: str, message: str, status: int = 400) -> Self:
        """An error that is not about a field: no `fields` key."""
        return cls(status, Problem(code, message))

    def body(self) -> list[dict[str, Any]]:
        rows = []
        for problem in self.problems:
            row = {**problem.extra, "message": problem.message, "errorCode": problem.code}
            if problem.fields is not None:
                row["fields"] = list(problem.fields)
            rows.append(row)
        return rows

    def row_errors(self) -> list[dict[str, Any]]:
        return [
            {"statusCode": p.code, "message": p.message, "fields": list(p.fields or ())}
            for p in self.problems
        ]


class SeveralMatches(Exception):
    """An upsert or read key that several rows share: HTTP 300 with their URLs."""

    def __init__(self, object_name: str, field_name: str, ids: list[str]) -> None:
        super().__init__(f"{object_name}.{field_name}: {len(ids)} rows")
        self.object_name = object_name
        self.field_name = field_name
        self.ids = ids


def not_found(message: str = "The requested resource does not exist") -> ApiError:
    return ApiError.plain("NOT_FOUND", message, 404)


def unknown_external_id(name: str) -> ApiError:
    return not_found(f"Provided external ID field does not exist or is not accessible: {name}")


def no_such_column(name: str, object_name: str) -> ApiError:
    return ApiError.plain(
        "INVALID_FIELD", f"No such column '{name}' on sobject of type {object_name}"
    )


def should_not_be_specified(name: str) -> ApiError:
    return ApiError.plain(
        "INVALID_FIELD", f"The {name} field should not be specified in the sobject data."
    )


def wrong_json(kind: str, value: object) -> ApiError:
    token = {
        str: "VALUE_STRING",
        bool: "VALUE_BOOLEAN",
        dict: "START_OBJECT",
        list: "START_ARRAY",
        type(None): "VALUE_NULL",
    }.get(type(value), "VALUE_NUMBER")
    shown = f" value {value}" if token.startswith("VALUE") else ""
    return ApiError.plain(
        "JSON_PARSER_ERROR",
        f"Cannot deserialize instance of {kind} from {token}{shown} or request may be missing a "
        "required field at [line:1, column:1]",
    )
