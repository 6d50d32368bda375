"""Reads the command line, runs one command, and turns every failure into a sentence with a next step."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from integration.cli import match, reconcile
from integration.cli.problems import CommandFailed
from integration.errors import ConfigurationError, IntegrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEXT = {
    "authentication": "check the credentials of this system in the app settings",
    "misconfigured": "check the address, the names of entities and fields, and the user's rights",
    "throttled": "wait a few minutes, then run the command again",
    "unreachable": "check the connection, then run the command again",
    "state-unavailable": "check AzureWebJobsStorage and the connection to it",
    "queue-unavailable": "check ServiceBus and the connection to it",
    "state-conflict": "somebody else changed the same thing just now; run the command again",
}


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m integration", description=__doc__)
    root.add_argument("--debug", action="store_true", help="shows where an error came from")
    root.add_argument(
        "--settings", metavar="FILE", help="reads the app settings from a local.settings.json"
    )
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    match.add_to(commands)
    reconcile.add_to(commands)
    return root


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 done, 1 failed, 2 the command line or the settings are wrong."""
    given = parser().parse_args(arguments)
    try:
        if given.settings:
            _use_settings(Path(given.settings))
        code: int = asyncio.run(given.run(given))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        if given.debug:
            raise
        print(_sentence(error), file=sys.stderr)
        return 2 if isinstance(error, ConfigurationError) else 1
    return code


def _use_settings(path: Path) -> None:
    """The settings of the file count where the environment does not name them."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))["Values"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CommandFailed(
            f"the settings file {path} cannot be used ({type(error).__name__})",
            "name a file in the form of local.settings.sample.json",
        ) from error
    for name, value in values.items():
        os.environ.setdefault(name, str(value))


def _sentence(error: Exception) -> str:
    match error:
        case CommandFailed():
            return f"error: {error}"
        case ConfigurationError():
            return f"error: {error}\nnext: correct these app settings (docs/settings.md)"
        case IntegrationError():
            step = _NEXT.get(error.reason, "run it again with --debug to see where it came from")
            return f"error: {error.system}: {error.description} ({error.reason})\nnext: {step}"
        case OSError():
            what = error.strerror or type(error).__name__
            return f"error: {what}: {error.filename or ''}\nnext: check the file and its folder"
    return (
        f"error: unexpected {type(error).__name__}"
        "\nnext: run it again with --debug and report what it prints"
    )
