"""Mapped records as rows of a data package: every field of the table, whether it differs or not.

A package is written without a look at what is there, so it carries whole records, while the flow writes
differences. Empty values empty the field of an existing record; of a new one they are F&O's own defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.mapping.cells import cell_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.mapping.compiled import Kind
    from integration.mapping.tables import Mapped, MappingTable
    from integration.mapping.values import Comparison, Value

_KINDS: dict[str, Kind] = {
    "boolean": "checkbox",
    "int": "number",
    "long": "number",
    "double": "number",
    "currency": "number",
    "percent": "number",
}


class RowWriter:
    """Texts of mapped values, in the order of the table."""

    def __init__(self, table: MappingTable) -> None:
        self._comparisons: dict[str, Comparison] = {
            rule.target: rule.comparison for rule in table.rules
        }

    def row(
        self, mapped: Mapped, *, create: bool, first: Mapping[str, str]
    ) -> tuple[tuple[str, ...], list[str]]:
        """Columns and cells; `first` stands before the mapped fields."""
        values: dict[str, Value] = {**mapped.values, **(mapped.create_only if create else {})}
        texts = [
            cell_text(value, self._comparisons.get(name, "exact")) for name, value in values.items()
        ]
        return (*first, *values), [*first.values(), *texts]


def kinds_of(fields: Sequence[Mapping[str, object]]) -> dict[str, Kind]:
    """Which columns are no text, from a describe (Salesforce contract 2.5)."""
    return {str(f["name"]): _KINDS[str(f["type"])] for f in fields if f.get("type") in _KINDS}
