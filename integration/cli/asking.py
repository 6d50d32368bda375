"""Questions before something changes.

Nobody is asked where there is no terminal: then the options must say it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from integration.cli.problems import CommandFailed, WrongUse

if TYPE_CHECKING:
    from integration.cli.output import Output


def confirm(out: Output, question: str, *, yes: bool) -> None:
    """Raises CommandFailed where the answer is no, WrongUse where nobody can be asked."""
    if yes:
        return
    if not _somebody_is_there():
        raise WrongUse(
            "this changes something and asks first, but there is no terminal to ask at",
            "add --yes",
        )
    out.say(f"{question} [y/N]")
    if _answer().casefold() not in ("y", "yes"):
        raise CommandFailed("nothing was changed", "run the command again when you are sure")


def reason(out: Output, why: str) -> str:
    """Why somebody does it, for the audit record. Raises WrongUse as `confirm` does."""
    if why.strip():
        return why.strip()
    if not _somebody_is_there():
        raise WrongUse("the audit record needs a reason", 'add --why "…"')
    out.say("Why? (kept in the audit record)")
    given = _answer()
    if not given:
        raise CommandFailed("nothing was changed, because no reason was given", "give one")
    return given


def _answer() -> str:
    """Nothing where the input ends, as with Ctrl-D."""
    try:
        return input().strip()
    except EOFError:
        return ""


def _somebody_is_there() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()
