"""How a command is made of an async function: the shared options, the event loop, errors and exit codes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from integration.cli import options
from integration.cli.output import Output
from integration.cli.problems import INTERRUPTED, problem_of
from integration.cli.settings_file import needed_secrets, use_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = Callable[..., Awaitable[int]]
_SHARED = {
    "as_json": options.Json,
    "settings_file": options.SettingsFile,
    "debug": options.Debug,
}
SHARED = ("--json", "--settings", "--debug")  # as people write them
_DEFAULTS: dict[str, Any] = {"as_json": False, "settings_file": "", "debug": False}


def command(
    app: typer.Typer, name: str, *, examples: Sequence[str], secrets: bool = True
) -> Callable[[Body], Body]:
    """Registers `async def body(out: Output, …its own options) -> exit code`. Its docstring is the help text,
    and every example is run by a test. Without `secrets` the body reads those of the vault itself."""

    def register(body: Body) -> Body:
        own = list(inspect.signature(body).parameters.values())[1:]
        hints = get_type_hints(body, include_extras=True)

        def run(context: typer.Context, **given: Any) -> int:
            shared = {
                key: given.pop(key) or (context.find_root().obj or {}).get(key) for key in _SHARED
            }
            return _run(body, given, shared, secrets=secrets)

        _declare(run, [each.replace(annotation=hints[each.name]) for each in own])
        run.__doc__ = body.__doc__
        lines = "\n".join(f"  python -m integration {example}" for example in examples)
        first = (body.__doc__ or "").partition("\n")[0]
        app.command(name, short_help=first, epilog=f"\b\nExamples:\n{lines}")(run)
        return body

    return register


def root_callback(app: typer.Typer) -> None:
    """The shared options may stand before the command's name too."""

    @app.callback()
    def remember(
        context: typer.Context,
        as_json: options.Json = False,
        settings_file: options.SettingsFile = "",
        debug: options.Debug = False,
    ) -> None:
        context.obj = {"as_json": as_json, "settings_file": settings_file, "debug": debug}


def _declare(run: Callable[..., int], own: list[inspect.Parameter]) -> None:
    """typer reads the options from the signature."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    context = inspect.Parameter("context", keyword, annotation=typer.Context)
    shared = [
        inspect.Parameter(name, keyword, annotation=kind, default=_DEFAULTS[name])
        for name, kind in _SHARED.items()
    ]
    parameters = [context, *(each.replace(kind=keyword) for each in own), *shared]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}


def _run(body: Body, given: Mapping[str, Any], shared: Mapping[str, Any], *, secrets: bool) -> int:
    out = Output(as_json=bool(shared["as_json"]))
    if not shared["debug"]:
        _quiet_libraries()

    async def work() -> int:
        return await body(out, **given)

    try:
        if shared["settings_file"]:
            _use(Path(shared["settings_file"]), out)
        if secrets:
            needed_secrets(os.environ)
        return asyncio.run(work())
    except KeyboardInterrupt:
        out.say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # whoever reads has enough, as `head` does
        raise
    except Exception as error:
        if shared["debug"]:
            raise
        problem = problem_of(error)
        out.failed(problem)
        return problem.code


def _use(path: Path, out: Output) -> None:
    overruled = use_settings(path)
    if overruled:
        names = ", ".join(overruled)
        out.say(f"note: not taken from the environment, because {path} names them too: {names}")


def _quiet_libraries() -> None:
    """What they have to say would stand between the lines of a result, and could quote payloads."""
    if not logging.root.handlers:
        logging.root.addHandler(logging.NullHandler())
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before its first use; it logs past Python
