"""The entry of `python -m integration` and of the console script `integration`."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from integration.cli.problems import FAILED, INTERRUPTED, WRONG_USE

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = ("typer", "rich")  # not deployed with the app
_SCRIPT = "integration"
_COMPLETION = ("--install-completion", "--show-completion")


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 the command line or the settings are wrong, 130 interrupted."""
    try:
        _spell_what_the_encoding_can()
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever reads has enough. What is still buffered must not be tried again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _main(given: list[str]) -> int:
    try:
        import typer

        from integration.cli.commands import build
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        return _wrong(
            f"the commands need the package {error.name}, which is not installed",
            "pip install '.[operate]'",
        )
    name = _name()
    if name != _SCRIPT and any(each.startswith(_COMPLETION) for each in given[:1]):
        return _wrong(
            "a shell completes the console script only, not `python -m`",
            f"pip install '.[operate]', then `{_SCRIPT} {given[0]}`",
        )
    try:
        tree = build(completion=name == _SCRIPT)
        return int(tree.main(args=given, prog_name=name, standalone_mode=False) or 0)
    except typer.TyperException as error:
        show = getattr(error, "show", None)  # with the usage of the command
        show() if show else print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _wrong(problem: str, step: str) -> int:
    print(f"error: {problem}\nnext: {step}", file=sys.stderr)
    return WRONG_USE


def _spell_what_the_encoding_can() -> None:
    """A `?` for a letter that the terminal does not know, instead of no answer at all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _name() -> str:
    """As it was called; shell completion goes by this name."""
    script = Path(sys.argv[0]).stem
    return script if script == _SCRIPT else "python -m integration"
