"""`python -m integration reconcile`: starts a reconciliation now, and shows its report."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

from integration.cli.problems import CommandFailed
from integration.cli.running import running_app

if TYPE_CHECKING:
    import argparse

    from integration.wiring import App

_POLL = 1.0  # seconds


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "reconcile",
        help="compares both systems and has the differences repaired",
        description="Starts the job that the timer starts too; the deployed app runs it.",
    )
    command.add_argument("--full", action="store_true", help="everything, not only recent changes")
    command.add_argument(
        "--wait", action="store_true", help="waits for the drift report, prints it"
    )
    command.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    from integration.jobs.kinds import RECONCILE

    async with running_app() as app:
        job = await app.jobs.start(RECONCILE, {"full": True} if arguments.full else {})
        if job is None:
            raise CommandFailed(
                "a reconciliation runs already", "wait for its report, then run the command again"
            )
        print(f"reconciliation {job} is started", file=sys.stderr)
        return await _wait(app, job) if arguments.wait else 0


async def _wait(app: App, job: str) -> int:
    from integration.flows.reconciliation import REPORTS
    from integration.jobs.kinds import RECONCILE

    while True:
        loaded = await app.jobs.store.load(RECONCILE, job)
        if loaded is None:
            raise CommandFailed(f"job {job} is gone", "look into the app's log")
        state, _ = loaded
        if state.status == "failed":
            why = (state.error or {}).get("description", "without a reason")
            raise CommandFailed(f"the reconciliation failed: {why}", "look into the app's log")
        if state.status == "done":
            document = await app.state.read(f"{REPORTS}{state.position['run']}.txt")
            print(document.body.decode() if document else "the report is gone", end="")
            return 0
        await asyncio.sleep(_POLL)
