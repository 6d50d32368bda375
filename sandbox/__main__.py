"""`python -m sandbox up [--json]` and `python -m sandbox demo`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys

PARTS = ("salesforce", "d365", "entra", "service_bus", "storage", "functions")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m sandbox")
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="starts the sandbox and the app until Ctrl-C")
    up.add_argument("--json", action="store_true", help="one JSON line on stdout when ready")
    for part in PARTS:
        flag = part.replace("_", "-")
        up.add_argument(f"--{flag}-port", type=int, default=0, help="instead of a free port")
    up.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE")
    demo = commands.add_parser("demo", help="drives the flows with generated data and checks them")
    demo.add_argument("--seed", type=int, default=7)
    demo.add_argument("--verbose", action="store_true", help="shows the app's log")
    arguments = parser.parse_args()
    if arguments.command == "demo":
        from sandbox.demo import run_demo

        return asyncio.run(run_demo(seed=arguments.seed, verbose=arguments.verbose))
    return asyncio.run(_up(arguments))


async def _up(arguments: argparse.Namespace) -> int:
    from sandbox.stack import Sandbox

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    settings = dict(item.split("=", 1) for item in arguments.setting)
    ports = {part: getattr(arguments, f"{part}_port") for part in PARTS}
    async with Sandbox(settings=settings, ports=ports, echo=not arguments.json) as sandbox:
        await sandbox.subscribe("Account", "Contact", "Opportunity")
        if arguments.json:
            print(json.dumps(sandbox.describe()), flush=True)
        else:
            _print_endpoints(sandbox.describe())
        await stop.wait()
    return 0


def _print_endpoints(parts: dict[str, dict[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="The sandbox is running; Ctrl-C ends it", show_header=False)
    rows = {
        "Salesforce": parts["salesforce"]["instance_url"],
        "F&O": parts["d365"]["base_url"],
        "Entra": parts["d365"]["authority"],
        "Service Bus": parts["service_bus"]["connection_string"],
        "Blob storage": parts["storage"]["connection_string"].rpartition("BlobEndpoint=")[2],
        "App": parts["functions"]["base_url"],
        "Function key": parts["functions"]["key"],
    }
    for name, value in rows.items():
        table.add_row(name, value)
    Console(file=sys.stdout, soft_wrap=True).print(table)


if __name__ == "__main__":
    sys.exit(main())
