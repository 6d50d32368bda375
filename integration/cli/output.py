"""How a command speaks: tables and sentences for people, one JSON document for scripts.

stdout carries the result alone; questions, progress and hints go to stderr. Where stdout is no terminal, it
is plain text of 100 columns: no colour, no lines that are drawn over.
"""

from __future__ import annotations

import io
import json
import sys
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from integration.cli.layout import Column, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import Console
    from rich.progress import Progress

    from integration.cli.problems import Problem

__all__ = ["WIDTH", "Column", "Output", "cell", "many", "wrapped"]
WIDTH = 100


class Output:
    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        self.width = _console(sys.stdout).width if self.is_terminal else WIDTH
        self._said = False
        self._pages = 0

    # The result

    def document(self, data: Mapping[str, Any]) -> None:
        """The result for scripts; once per command, and nothing in the other form."""
        if self.as_json:
            self._said = True
            print(json.dumps(data, indent=2, ensure_ascii=False, default=_json_value))

    def line(self, text: str = "") -> None:
        """A sentence; a long one is wrapped between words."""
        if not self.as_json:
            print(wrapped(text, self.width))

    def table(
        self, columns: Sequence[str | Column], rows: Iterable[Sequence[object]], *, title: str = ""
    ) -> None:
        if not self.as_json:
            if title:
                self._print(title, style="bold")
            named = [Column(each) if isinstance(each, str) else each for each in columns]
            cells = [[cell(value) for value in row] for row in rows]
            self._print(table(named, cells, self.width, drawn=self.is_terminal, head=True))

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Name and value, one below the other; those without a value are left out."""
        rows = [(name, text) for name, value in pairs if (text := cell(value))]
        if rows and not self.as_json:
            name, value = Column("", whole=True), Column("")
            self._print(table((name, value), rows, self.width, drawn=False, head=False))

    def fresh_page(self) -> None:
        """For what is shown again and again: over the last page, or below it."""
        if self.is_terminal:
            _console(sys.stdout).clear()
        elif self._pages:
            print()
        self._pages += 1

    def flush(self) -> None:
        """What goes into a pipe would wait there for more."""
        sys.stdout.flush()

    def _print(self, what: Any, style: str | None = None) -> None:
        if self.is_terminal:
            console = _console(sys.stdout)
            console.print(what, style=style)
        else:
            print(_plain(what))

    # Beside it

    def say(self, text: str) -> None:
        for line in text.split("\n"):
            print(wrapped(line, self.width), file=sys.stderr, flush=True)

    def failed(self, problem: Problem) -> None:
        self.say(problem.text)
        if self.as_json and not self._said:
            self.document({"error": problem.document})

    @contextmanager
    def progress(self, what: str, total: int | None = None) -> Iterator[Moving]:
        """A bar on stderr while something long is followed; silent where that is no terminal."""
        if self.as_json or not sys.stderr.isatty():
            yield Moving(None, None)
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
        )
        with Progress(*columns, console=_console(sys.stderr), transient=True) as bar:
            yield Moving(bar, bar.add_task(what, total=total, text=""))


@dataclass(frozen=True, slots=True)
class Moving:
    _bar: Progress | None
    _task: Any

    def to(self, text: str, done: int | None = None) -> None:
        if self._bar is not None:
            self._bar.update(self._task, text=text, completed=done)


def many(count: int, what: str) -> str:
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def cell(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.1f}"
    return str(value)


def wrapped(text: str, width: int = WIDTH) -> str:
    """What stands before the first word is kept before each further line, and a little more."""
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    lines = textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
    return "\n".join(lines)


def _json_value(value: object) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


def _plain(what: Any) -> str:
    text = io.StringIO()
    _console(text).print(what)
    return "\n".join(line.rstrip() for line in text.getvalue().rstrip("\n").split("\n"))


def _console(file: Any) -> Console:
    from rich.console import Console

    console = Console(file=file, highlight=False, markup=False, emoji=False)
    console.width = min(WIDTH, console.width) if file.isatty() else WIDTH
    return console
