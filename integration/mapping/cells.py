"""One line of a mapping table as a function over columns of text, for `compiled`.

It takes the columns of a batch of rows and gives the target's column. None stands where the table itself
must map the row: something is missing, too long, or cannot be carried over. It is only asked for rows whose
text holds no control characters and no half characters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from integration.mapping.tables import FieldProblem
from integration.mapping.values import (
    EMPTY_DATE,
    Comparison,
    TransformError,
    Value,
    canonical,
    cut_to,
    length_of,
)

if TYPE_CHECKING:
    from integration.mapping.tables import FieldRule

Columns = Sequence[Sequence[str]]
Cell = str | None
Line = Callable[[Columns], list[Cell]]
Reader = Callable[[str], object]

_MEMORY = 20_000  # values of one line that are remembered
_ENDLESS = 1 << 30
_SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_CAPITALS = {code: "1" if chr(code).isupper() else "0" for code in range(128)}


def line_for(rule: FieldRule, place: Mapping[str, int], readers: Mapping[str, Reader]) -> Line:
    """`place` and `readers` by column: its place in a row, and how its text becomes a value."""
    sources = [name for name in rule.sources if name in place]
    if sources and not rule.beside and (line := _text_line(rule, [place[n] for n in sources])):
        return line
    return _remembered(rule, [*sources, *(n for n in rule.beside if n in place)], place, readers)


def text_of_value(value: Value) -> str:
    """A mapped value as a cell of a data file."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(Decimal(value), "f")


def cell_text(value: Value, comparison: Comparison) -> str:
    """The same; a date as its day, and no date as nothing."""
    if comparison == "date" and isinstance(value, str):
        return "" if value == EMPTY_DATE else value[:10]
    return text_of_value(value)


def _text_line(rule: FieldRule, places: list[int]) -> Line | None:
    """For lines whose values hardly repeat; None for the others."""
    transform = rule.transform
    if rule.comparison not in ("exact", "ignore-case") or transform.empty != "":
        return None
    if transform.kind == "salesforce_id":
        return _id_line(places[0]) if len(places) == 1 else None
    if transform.kind not in ("direct", "cut", "cut_lines", "phone", "url"):
        return None
    longest = min(transform.length or _ENDLESS, rule.length or _ENDLESS)
    fits = longest // 2  # so many characters certainly: each may count twice
    required, [first, *others] = rule.required, places
    changed = _whole_text(rule)
    kind = transform.kind

    def line(columns: Columns) -> list[Cell]:
        texts = [text.rstrip() for text in columns[first]]
        for place in others:
            more = columns[place]
            texts = [text or more[row].rstrip() for row, text in enumerate(texts)]
        whole = "\0".join(texts)
        if kind in ("phone", "url") and not _stays(whole):
            cells: list[Cell] = [changed(text) if text else text for text in texts]
        elif "\n" not in whole and max(map(len, texts)) <= (longest if whole.isascii() else fits):
            cells = list(texts)
        else:
            cells = [changed(text) if len(text) > fits or "\n" in text else text for text in texts]
        return [text or None for text in cells] if required else cells

    return line


def _stays(texts: str) -> bool:
    """Whether nothing has to be done about the blanks in these texts (joined by NUL, none at their ends)."""
    single = "  " not in texts and "\t" not in texts and "\n" not in texts
    return texts.isascii() and texts[:1] != " " and "\0 " not in texts and single


def _whole_text(rule: FieldRule) -> Callable[[str], Cell]:
    """The whole of a transform, of clean text that is not empty."""
    kind, length, limit = rule.transform.kind, rule.transform.length, rule.length

    def change(text: str) -> Cell:
        if kind == "cut_lines":
            if "\n" in text:
                text = "\n".join([line.rstrip() for line in text.split("\n")])
        elif kind != "direct":
            if "\n" in text:
                text = text.replace("\n", " ")
            if kind == "phone":
                text = " ".join(text.split())
            elif kind == "url":
                text = text.strip()
        if length and len(text) * 2 > length and not (text.isascii() and len(text) <= length):
            text = cut_to(text, length)
        if limit and len(text) * 2 > limit and length_of(text) > limit:
            return None
        return text

    return change


class _Suffixes(dict[str, str]):
    """What 15 characters are followed by, by which of them are capitals (`codes.salesforce_id`)."""

    def __missing__(self, capitals: str) -> str:
        blocks = (capitals[start : start + 5] for start in (0, 5, 10))
        suffix = "".join(_SUFFIX[int(block[::-1], 2)] for block in blocks)
        self[capitals] = suffix
        return suffix


def _id_line(place: int) -> Line:
    suffixes = _Suffixes()

    def line(columns: Columns) -> list[Cell]:
        texts = columns[place]
        shorts = [text[:15] for text in texts]
        whole = "".join(shorts)
        if set(map(len, texts)) == {18} and whole.isascii() and "".join(texts).isalnum():
            bits = whole.translate(_CAPITALS)
            starts = range(0, len(bits), 15)
            pairs = zip(shorts, starts, strict=True)
            return [short + suffixes[bits[start : start + 15]] for short, start in pairs]
        return [_id18(text, suffixes) for text in texts]

    return line


def _id18(text: str, suffixes: _Suffixes) -> Cell:
    if len(text) not in (15, 18) or not text.isascii() or not text.isalnum():
        return None
    return text[:15] + suffixes[text[:15].translate(_CAPITALS)]


class _Known(dict[tuple[str, ...], Cell]):
    """Maps each combination of values once."""

    def __init__(self, rule: FieldRule, readers: Sequence[tuple[str, Reader]]) -> None:
        super().__init__()
        self._rule = rule
        self._readers = readers

    def __missing__(self, given: tuple[str, ...]) -> Cell:
        pairs = zip(self._readers, given, strict=True)
        record = {name: read(text) for (name, read), text in pairs}
        if len(self) >= _MEMORY:
            self.clear()
        self[given] = found = _mapped(self._rule, record)
        return found


def _remembered(
    rule: FieldRule, names: list[str], place: Mapping[str, int], readers: Mapping[str, Reader]
) -> Line:
    known = _Known(rule, [(name, readers[name]) for name in names])
    places = [place[name] for name in names]

    def line(columns: Columns) -> list[Cell]:
        if not places:
            return [known[()]] * len(columns[0])
        return [known[given] for given in zip(*[columns[each] for each in places], strict=True)]

    return line


def _mapped(rule: FieldRule, record: Mapping[str, object]) -> Cell:
    """Also None for a value whose text would be compared in another way than the value itself."""
    value = rule.map(record)
    if value is None or isinstance(value, FieldProblem):
        return None
    text = cell_text(value, rule.comparison)
    try:
        same = canonical(value, rule.comparison) == canonical(text, rule.comparison)
    except TransformError:
        return None
    return text if same and (rule.comparison != "exact" or text == text.rstrip()) else None
