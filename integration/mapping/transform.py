"""What a transform is: a named, pure function from a source value to a target value.

A transform takes the source value and, for `state`, the value beside it (the country). Empty source
values never reach its function: each transform states what empty becomes (F&O contract 2.5). `back` is
the other direction, from F&O to Salesforce, where empty is null. A transform that cannot carry a value
over raises TransformError; nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.mapping.values import Comparison, Value, is_empty

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Transform:
    """`kind(arguments)` is how tables, the mapping file and the documentation call it."""

    kind: str
    function: Callable[[object, object], Value]
    arguments: tuple[str | int, ...] = ()
    compare: Comparison = "exact"
    empty: Value = ""
    length: int | None = None
    reverse: Callable[[object], Value] | None = None
    uses_source: bool = True
    fills: bool = False  # has a value of its own for a record that was read without the field

    @property
    def name(self) -> str:
        return self.kind + (f"({', '.join(map(str, self.arguments))})" if self.arguments else "")

    def forward(self, value: object, beside: object = None) -> Value:
        if self.uses_source and is_empty(value):
            return self.empty
        return self.function(value, beside)

    def back(self, value: object) -> Value:
        """An F&O value as Salesforce takes it; F&O's empties become None."""
        result = self.reverse(value) if self.reverse else self.forward(value)
        return None if is_empty(result) else result
