"""All commands in one tree. A module of a command has `add_to(app)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from integration.cli import (
    backfill,
    dead_letters,
    doctor,
    explain,
    jobs,
    limits,
    match,
    status,
    sync,
)
from integration.cli.command import root_callback

if TYPE_CHECKING:
    from typer.core import TyperGroup

_MODULES = (status, doctor, dead_letters, sync, explain, jobs, backfill, limits, match)
_HELP = (
    "What the person on duty needs: look, try, send again. The same against the sandbox and"
    " production.\n\n"
    "The app settings come from the environment or --settings; outside Azure the sign-in is that of"
    " `az login`. Exit codes: 0 done, 1 failed, 2 wrong use or settings, 130 interrupted."
)


def build(*, completion: bool = True) -> TyperGroup:
    """`completion`: with the options that install the completion of a shell."""
    app = typer.Typer(
        help=_HELP,
        no_args_is_help=True,
        add_completion=completion,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    root_callback(app)
    for module in _MODULES:
        module.add_to(app)
    tree: Any = typer.main.get_command(app)
    return tree  # type: ignore[no-any-return]
