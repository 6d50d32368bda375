"""The entry of `python -m integration` and of the console script `integration`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from integration.cli.problems import INTERRUPTED, WRONG_USE

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = ("typer", "rich")  # not deployed with the app


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 the command line or the settings are wrong, 130 interrupted."""
    try:
        import typer

        from integration.cli.commands import build
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        print(
            f"error: the commands need the package {error.name}, which is not installed"
            "\nnext: pip install '.[operate]'",
            file=sys.stderr,
        )
        return WRONG_USE
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return int(build().main(args=given, prog_name=_name(), standalone_mode=False) or 0)
    except typer.TyperException as error:
        show = getattr(error, "show", None)  # with the usage of the command
        show() if show else print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except typer.Abort:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED


def _name() -> str:
    """As it was called; shell completion goes by this name."""
    script = Path(sys.argv[0]).name
    return script if script == "integration" else "python -m integration"
