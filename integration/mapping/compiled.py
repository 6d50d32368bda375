"""A mapping table compiled for many rows of text: the same answers as the table, a tenth of its time.

A load maps hundreds of thousands of rows that all have the same columns. So what follows from the columns
is worked out once: which lines apply (a `Shape`), which text goes through which transform. A batch of rows
is mapped column by column; text is clean in nearly every row, which one look tells; values that repeat
(countries, states, currencies) are mapped once. A row that is not ordinary gets None here and is mapped by
the table itself, which alone says what is wrong with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Literal, cast

from integration.mapping.cells import line_for
from integration.mapping.shapes import NEVER, Shape, digest_of, digest_of_keys, folds_of
from integration.mapping.values import TransformError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from integration.mapping.cells import Line
    from integration.mapping.shapes import Texts
    from integration.mapping.tables import FieldRule, MappingTable, Record

Kind = Literal["text", "number", "checkbox"]  # of a column

_UNCLEAN = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class _Lines:
    """`places`: the columns that they read."""

    lines: list[Line]
    places: list[int]


class CompiledTable:
    """For rows with these columns. `kinds` of the columns that are not text; the values of a row are text
    as in a CSV file, an empty one is null.

    `samples` are records that together meet every combination of conditions there is.
    """

    def __init__(
        self,
        table: MappingTable,
        columns: Sequence[str],
        kinds: Mapping[str, Kind],
        samples: Sequence[Record] = ({},),
    ) -> None:
        self.table = table
        self.columns = tuple(columns)
        self._readers = {name: _reader(kinds.get(name, "text")) for name in self.columns}
        asked = {name for rule in table.rules if rule.condition for name in rule.condition.reads}
        self._deciding = [place for place, name in enumerate(self.columns) if name in asked]
        self._known: dict[tuple[str, ...], Shape | None] = {}
        self._applying: list[list[FieldRule]] = []
        self.shapes: list[Shape] = []
        for sample in samples:
            self._add_shape([rule for rule in table.rules if rule.applies_to(sample)])
        place = {name: number for number, name in enumerate(self.columns)}
        lines = {rule.target: line_for(rule, place, self._readers) for rule in table.rules}
        reads = {
            rule.target: {place[name] for name in (*rule.sources, *rule.beside) if name in place}
            for rule in table.rules
        }

        def group(targets: Sequence[str]) -> _Lines:
            places = {each for name in targets for each in reads[name]}
            return _Lines([lines[name] for name in targets], sorted(places))

        self._kept = [group(shape.targets) for shape in self.shapes]
        self._created = [group(shape.create_only) for shape in self.shapes]
        self._folds = [folds_of(shape) for shape in self.shapes]

    def _add_shape(self, applying: list[FieldRule]) -> None:
        if applying in self._applying:
            return
        said = [rule for rule in applying if self._says_something(rule)]
        kept = [rule for rule in said if rule.on == "always"]
        born = [rule for rule in said if rule.on == "create"]
        self._applying.append(applying)
        self.shapes.append(
            Shape(
                len(self.shapes),
                tuple(rule.target for rule in kept),
                tuple(rule.comparison for rule in kept),
                tuple(rule.target for rule in born),
                tuple(rule.comparison for rule in born),
            )
        )

    def _says_something(self, rule: FieldRule) -> bool:
        """A field that was not read is not spoken of (`FieldRule.map`)."""
        known = any(name in self.columns for name in rule.sources)
        return known or rule.required or rule.transform.fills or not rule.transform.uses_source

    def record(self, values: Sequence[str]) -> dict[str, object]:
        """The row as the table takes it: null, checkboxes and numbers as such."""
        pairs = zip(self._readers.items(), values, strict=True)
        return {name: read(value) for (name, read), value in pairs}

    def shape_of(self, values: Sequence[str]) -> Shape | None:
        """None where no sample had this combination of conditions."""
        deciding = tuple([values[place] for place in self._deciding])
        if deciding not in self._known:
            record = self.record(values)
            applying = [rule for rule in self.table.rules if rule.applies_to(record)]
            known = applying in self._applying
            shape = self.shapes[self._applying.index(applying)] if known else None
            self._known[deciding] = shape
        return self._known[deciding]

    def by_shape(
        self, rows: Sequence[Sequence[str]]
    ) -> tuple[list[tuple[Shape, Sequence[Sequence[str]]]], list[Sequence[str]]]:
        """The rows of each shape, and those that have none."""
        found: dict[int, list[Sequence[str]]] = {}
        none: list[Sequence[str]] = []
        for row in rows:
            shape = self.shape_of(row)
            if shape is None:
                none.append(row)
            elif self._deciding:
                found.setdefault(shape.number, []).append(row)
            else:  # all have the same
                return [(shape, rows)], []
        return [(self.shapes[number], mine) for number, mine in found.items()], none

    def kept(self, shape: Shape, rows: Sequence[Sequence[str]]) -> list[Texts | None]:
        """Of rows of this shape: the texts of its targets; None: ask the table."""
        return _texts(self._kept[shape.number], rows)

    def created(self, shape: Shape, rows: Sequence[Sequence[str]]) -> list[Texts | None]:
        """The same for what only a creation sets."""
        return _texts(self._created[shape.number], rows)

    def digest_of_texts(self, shape: Shape, texts: Texts) -> bytes:
        """Of what `kept` gave."""
        keys = list(texts)
        for place, fold in self._folds[shape.number]:
            keys[place] = fold(keys[place])
        return digest_of_keys(keys)

    def digest(self, shape: Shape, row: Mapping[str, object]) -> bytes:
        """Of a record of the target: that of a source row where nothing is to be written."""
        values = [row.get(name) for name in shape.targets]
        texts = [value for value in values if isinstance(value, str)]
        if len(texts) < len(values) or not _is_clean(texts):
            return digest_of(shape, values)
        try:
            return self.digest_of_texts(shape, tuple([text.rstrip() for text in texts]))
        except TransformError:
            return NEVER


def _texts(lines: _Lines, rows: Sequence[Sequence[str]]) -> list[Texts | None]:
    """Of each row what the lines make of it; None for one that is not ordinary."""
    if not rows or not lines.lines:
        return [()] * len(rows)
    columns = list(zip(*rows, strict=True))
    cells: list[list[str | None]] = []
    odd = _unclean([columns[place] for place in lines.places])
    if not odd:
        cells = [line(columns) for line in lines.lines]
        odd = {
            number
            for column in cells
            if None in column
            for number, cell in enumerate(column)
            if cell is None
        }
    if not odd:
        return list(zip(*cast("list[list[str]]", cells), strict=True))
    others = iter(_texts(lines, [row for number, row in enumerate(rows) if number not in odd]))
    return [None if number in odd else next(others) for number in range(len(rows))]


def _unclean(columns: Sequence[Sequence[str]]) -> set[int]:
    """The rows that hold a control character or half a character."""
    text = "".join(["".join(column) for column in columns])
    if text.replace("\n", "").isprintable() or _is_clean([text]):
        return set()
    rows = enumerate(zip(*columns, strict=True))
    return {number for number, values in rows if not _is_clean(values)}


def _is_clean(values: Sequence[str]) -> bool:
    return not _UNCLEAN.search("\n".join(values))


def _reader(kind: Kind) -> Callable[[str], object]:
    if kind == "checkbox":
        return lambda text: text == "true" if text else None
    if kind == "number":
        return lambda text: Decimal(text) if text else None
    return lambda text: text or None
