"""docs/commands.md, made from the help texts themselves so that it cannot be out of date."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import typer

from integration.cli.command import SHARED
from integration.cli.commands import build

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "python -m integration"
_TYPE = re.compile(r" <[a-z\[\]]+>$")  # of an argument
_HEAD = """\
# Commands

Generated from the help texts; do not edit by hand. `python -m integration`, or `integration` where the
package is installed with its extra `operate` (`pip install '.[operate]'`); neither is deployed.

| Of every command | |
|---|---|
{shared}
| exit code | 0 done, 1 failed or something needs a person, 2 wrong use or settings, 130 interrupted |

The settings come from the environment, or from a file, with which the same commands work in production:

    az functionapp config appsettings list --resource-group <group> --name <app> > app.json
    python -m integration status --settings app.json

What the file names counts, whatever the environment says, so that no command works half with one system
and half with another; a note tells where they differ.

References to the vault are resolved with your own sign-in (`az login`), which also opens the queues and the
state container. Delete the file afterwards where it holds secrets. Values of records are shown with
`--show-values` only; in the words of both systems, what stands in quotes is hidden too.

What changes something asks first (`--yes` does not) and leaves a record in `audit/` of the state container:
who, when, why, which records. Without a terminal nobody is asked: `--yes` is needed then, and `--why` where a
reason is. Output is plain text there, at most 100 columns wide; progress bars are for terminals.

A shell completes commands, options, objects and kinds once `integration --install-completion` was called
(bash, zsh, fish, PowerShell) and the shell is started anew; `integration --show-completion` prints what it
installs, to look at it first or to place it by hand. It completes the console script `integration`, not
`python -m integration`.
"""


def manual() -> str:
    """The whole page."""
    tree = build()
    shared = "\n".join(
        f"| `{left}` | {right} |" for left, right in _options(tree) if left.split()[0] in SHARED
    )
    pages = [_page(path, node) for path, node in commands(tree)]
    return "\n".join((_HEAD.format(shared=shared), *pages))


def commands(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that can be run, with its words."""
    for name, each in node.commands.items():
        if hasattr(each, "commands"):
            yield from commands(each, (*path, name))
        else:
            yield (*path, name), each


def examples(node: Any) -> list[str]:
    """The command lines of its help text, without the name of the program."""
    lines = (node.epilog or "").splitlines()
    mark = f"{PROGRAM} "
    return [line.strip().removeprefix(mark) for line in lines if line.strip().startswith(mark)]


def _page(path: tuple[str, ...], node: Any) -> str:
    usage = [_metavar(each) for each in node.params if each.param_type_name == "argument"]
    title = " ".join(path)
    own = [pair for pair in _options(node) if not pair[0].startswith((*SHARED, "-h"))]
    parts = [
        f"## {title}\n",
        f"    {' '.join((PROGRAM, title, *usage, '[OPTIONS]'))}\n",
        _prose(inspect.cleandoc(node.help or "")),
        _table(own) if own else "",
        "\n".join(f"    {PROGRAM} {example}" for example in examples(node)) + "\n",
    ]
    return "\n".join(part for part in parts if part)


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _options(node: Any) -> list[tuple[str, str]]:
    context = typer.Context(node, info_name=PROGRAM)
    records = [each.get_help_record(context) for each in node.params]
    pairs = [(_TYPE.sub("", left), right) for left, right in filter(None, records)]
    return [(left.replace("|", "\\|"), right.replace("|", "\\|")) for left, right in pairs]


def _prose(text: str) -> str:
    return text.replace("\n\n", "\0").replace("\n", " ").replace("\0", "\n\n") + "\n"


def _table(pairs: list[tuple[str, str]]) -> str:
    rows = (f"| `{left}` | {right} |" for left, right in pairs)
    return "\n".join(("| Option | |", "|---|---|", *rows)) + "\n"
