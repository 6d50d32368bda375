"""How wide the columns of a table are: nothing is ever cut off, and what identifies a record stays whole.

Where the columns do not fit side by side, the widest ones are narrowed and their text goes on below; only
where even their words do not fit, words and ids are folded too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

GAP = 2  # columns between two cells
_LONGEST_WORD = 30  # that a column is kept wide enough for
_NARROW = 8  # what is left of a column where there is no room at all


@dataclass(frozen=True, slots=True)
class Column:
    """`whole` is not broken into lines as long as there is room; `number` stands to the right."""

    title: str
    whole: bool = False
    number: bool = False


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, drawn: bool, head: bool
) -> Any:
    """For a rich console of this width. `drawn`: with a line below the head."""
    made = Table(
        box=box.SIMPLE_HEAD if drawn else None,
        show_edge=False,
        show_header=head,
        pad_edge=False,
        # A drawn table has a column of its own between two cells.
        padding=(0, GAP - 1 if drawn else GAP, 0, 0),
        header_style="bold" if drawn else "",
    )
    fitting = widths(columns, rows, width, head=head)
    for column, wide in zip(columns, fitting, strict=True):
        made.add_column(
            column.title,
            justify="right" if column.number else "left",
            overflow="fold",
            width=wide,
        )
    for row in rows:
        made.add_row(*map(Text, row))
    return made


def widths(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int, *, head: bool = True
) -> list[int]:
    """The widest cells get less where not all have room; more than `width` only where nothing else helps."""
    texts = [
        [*([column.title] if head else []), *(row[place] for row in rows)]
        for place, column in enumerate(columns)
    ]
    full = [_longest(cells, str.splitlines) for cells in texts]
    words = [min(_LONGEST_WORD, _longest(cells, str.split)) for cells in texts]
    room = width - GAP * (len(columns) - 1)
    least = [
        whole if column.whole or column.number else word
        for column, whole, word in zip(columns, full, words, strict=True)
    ]
    if sum(least) > room:  # long words of sentences are folded first, then ids too
        least = [
            each if column.whole or column.number else min(each, _NARROW)
            for column, each in zip(columns, least, strict=True)
        ]
    if sum(least) > room:
        least = [min(each, _NARROW) for each in least]
    return _shared(full, least, room)


def _longest(cells: Sequence[str], split: Any) -> int:
    return max((cell_len(part) for cell in cells for part in split(cell)), default=1) or 1


def _shared(full: Sequence[int], least: Sequence[int], room: int) -> list[int]:
    """Each between its least and its full width, cut at the same height where `room` is short."""
    height = max(full)
    while height > 1 and sum(_cut(full, least, height)) > room:
        height -= 1
    found = _cut(full, least, height)
    spare = room - sum(found)
    for place, most in enumerate(full):  # what rounding has left over
        more = min(max(spare, 0), 1, most - found[place])
        found[place] += more
        spare -= more
    return found


def _cut(full: Sequence[int], least: Sequence[int], height: int) -> list[int]:
    return [max(low, min(most, height)) for most, low in zip(full, least, strict=True)]
