"""`python -m sandbox.functions --project . --settings settings.json --port 0 --ready-json`

Runs one Functions app until SIGTERM or SIGINT, then drains. With `--ready-json` one JSON line goes to
stdout when everything listens; whatever the app prints goes to stderr. Exit codes: 0 stopped, 1 the
app did not load, 3 invocations had to be cut off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from azure_functions_runtime.utils.executor import invocation_id_cv

from .app_settings import SettingError, read_settings_file
from .host import AppLoadError, FunctionsHost, HostJsonError
from .worker import DropWorkerTraceback


class _Formatter(logging.Formatter):
    """Level, logger, invocation id when there is one, message."""

    def format(self, record: logging.LogRecord) -> str:
        call = invocation_id_cv.get()
        record.call = f" [{call[:8]}]" if call else ""
        return super().format(record)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sandbox.functions")
    parser.add_argument("--project", type=Path, default=Path())
    parser.add_argument("--settings", type=Path, help="JSON object or local.settings.json")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--function-key", default=os.environ.get("SANDBOX_FUNCTION_KEY"))
    parser.add_argument("--master-key", default=os.environ.get("SANDBOX_MASTER_KEY"))
    parser.add_argument("--drain-seconds", type=float, default=30.0)
    parser.add_argument("--state-directory", type=Path, help="keeps the status of timers")
    parser.add_argument("--ready-json", action="store_true")
    parser.add_argument("--quiet", action="store_true", help="warnings and errors only")
    return parser.parse_args()


def _configure_logging(*, quiet: bool) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(levelname)s %(name)s%(call)s: %(message)s"))
    handler.setLevel(logging.WARNING if quiet else logging.NOTSET)
    # INFO is the real worker's root level; the SDKs' own chatter would bury the app's lines.
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("azure").setLevel(logging.WARNING)
    # The SDK reports each lost connection several times; the listener does it once.
    logging.getLogger("azure.servicebus").setLevel(logging.ERROR)
    logging.getLogger("azure.functions").addFilter(DropWorkerTraceback())


async def _run(arguments: argparse.Namespace) -> int:
    ready = sys.stdout
    sys.stdout = sys.stderr
    settings = read_settings_file(arguments.settings) if arguments.settings else {}
    project = arguments.project.resolve()
    state = arguments.state_directory.resolve() if arguments.state_directory else None
    os.chdir(project)
    host = FunctionsHost(
        project,
        settings,
        arguments.host,
        arguments.port,
        function_key=arguments.function_key,
        master_key=arguments.master_key,
        drain_seconds=arguments.drain_seconds,
        state_directory=state,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await host.start()
    names = [function.name for function in host.functions]
    if arguments.ready_json:
        keys = {"function": host.keys.function, "master": host.keys.master}
        line = {"base_url": host.base_url, "functions": names, "keys": keys}
        print(json.dumps(line), file=ready, flush=True)
    else:
        print(f"{host.base_url} serves {', '.join(names)}", file=ready, flush=True)
    await stopped.wait()
    return 0 if await host.stop() else 3


def main() -> int:
    arguments = _arguments()
    _configure_logging(quiet=arguments.quiet)
    try:
        code = asyncio.run(_run(arguments))
    except (AppLoadError, HostJsonError, SettingError, OSError) as error:
        print(f"the host did not start: {error}", file=sys.stderr)
        return 1
    if code == 3:
        # A sync function that does not end would keep its thread, and so the process, for ever.
        print("invocations were cut off at the end of the drain time", file=sys.stderr)
        sys.stderr.flush()
        os._exit(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
