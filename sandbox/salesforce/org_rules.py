"""What may refuse a row of any object: required and unique fields, and an administrator's rules.

A validation rule refuses a row whose field matches a regular expression; several can fail at once.
A duplicate rule compares fields of live rows without regard to case; `allow_save` makes it an Alert
rule that the `Sforce-Duplicate-Rule-Header: allowSave=true` passes (Salesforce contracts 2.9, 2.11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError, Problem

if TYPE_CHECKING:
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.store import Row, Table


@dataclass(frozen=True)
class ValidationRule:
    object: str
    field: str
    regex: str
    message: str

    def fails(self, row: Row) -> bool:
        value = row.get(self.field)
        return re.search(self.regex, "" if value is None else str(value)) is not None


@dataclass(frozen=True)
class DuplicateRule:
    object: str
    fields: tuple[str, ...]
    rule: str = ""
    allow_save: bool = False
    message: str = "Use one of these records?"

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DuplicateRule:
        return cls(**{**data, "fields": tuple(data["fields"])})

    def matches(self, table: Table, row: Row) -> list[str]:
        wanted = [_comparable(row.get(name)) for name in self.fields]
        if any(value is None for value in wanted):
            return []
        return [
            record_id
            for record_id, other in table.rows.items()
            if record_id != row["Id"]
            and all(
                _comparable(other.get(name)) == value
                for name, value in zip(self.fields, wanted, strict=True)
            )
        ]


def check_required(obj: ObjectType, row: Row, waived: set[str]) -> None:
    missing = [name for name in obj.required if row.get(name) is None and name not in waived]
    if missing:
        raise ApiError.of(
            "REQUIRED_FIELD_MISSING",
            f"Required fields are missing: [{', '.join(missing)}]",
            *missing,
        )


def check_unique(table: Table, row: Row, sent: set[str]) -> None:
    for name in table.obj.unique.intersection(sent):
        if row.get(name) is None:
            continue
        others = [i for i in table.ids_with(table.obj.fields[name], row[name]) if i != row["Id"]]
        if others:
            raise ApiError.of(
                "DUPLICATE_VALUE",
                f"duplicate value found: {name} duplicates value on record with id: {others[0]}",
            )


def check_validation(rules: list[ValidationRule], obj: ObjectType, row: Row) -> None:
    failed = [rule for rule in rules if rule.object == obj.name and rule.fails(row)]
    if failed:
        raise ApiError(
            400,
            *(
                Problem("FIELD_CUSTOM_VALIDATION_EXCEPTION", rule.message, (rule.field,))
                for rule in failed
            ),
        )


def check_duplicates(
    rules: list[DuplicateRule], table: Table, row: Row, *, allow_save: bool
) -> None:
    for rule in rules:
        if rule.object != table.obj.name or (rule.allow_save and allow_save):
            continue
        if found := rule.matches(table, row):
            raise ApiError.of(
                "DUPLICATES_DETECTED",
                rule.message,
                duplicateResut=_result(rule, found),  # the key is misspelt in real answers
            )


def _result(rule: DuplicateRule, found: list[str]) -> dict[str, Any]:
    records = [
        {
            "additionalInformation": [],
            "fieldDiffs": [],
            "matchConfidence": 100.0,
            "record": {
                "attributes": {
                    "type": rule.object,
                    "url": f"/services/data/v62.0/sobjects/{rule.object}/{record_id}",
                },
                "Id": record_id,
            },
        }
        for record_id in found
    ]
    return {
        "allowSave": rule.allow_save,
        "duplicateRule": rule.rule or f"{rule.object}_DR",
        "duplicateRuleEntityType": rule.object,
        "errorMessage": rule.message,
        "matchResults": [
            {
                "entityType": rule.object,
                "errors": [],
                "matchEngine": "ExactMatchEngine",
                "matchRecords": records,
                "rule": f"{rule.object}_MR",
                "size": len(found),
                "success": True,
            }
        ],
    }


def _comparable(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
