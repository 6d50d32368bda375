"""`python -m integration match accounts`: which existing customer belongs to which existing account.

Proposes links in a file that a person edits; `--apply` checks the file and hands what is approved to the
account flow, which alone writes to the systems.
"""

from __future__ import annotations

import sys
import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from integration.cli.problems import CommandFailed
from integration.cli.running import running_app

if TYPE_CHECKING:
    import argparse

    from integration.flows.account_matching import OpenAccount, OpenCustomer
    from integration.wiring import App

_SHOWN = 50  # mistakes of one file
_SENT_AT_ONCE = 1000  # hints


def add_to(commands: Any) -> None:
    command = commands.add_parser("match", help="links records that exist on both sides")
    what = command.add_subparsers(dest="what", required=True, metavar="WHAT")
    accounts = what.add_parser(
        "accounts",
        help="proposes or applies links between accounts and customers",
        description="Writes a file of proposals; after a person approved it, --apply stores it.",
    )
    accounts.add_argument("--output", metavar="FILE", default="match-accounts.csv")
    accounts.add_argument("--apply", metavar="FILE", help="checks and stores an approved file")
    accounts.add_argument(
        "--tax-field",
        metavar="FIELD",
        help="Account field with the tax id; default: the one that the mapping file maps",
    )
    accounts.add_argument(
        "--customer-tax-field", metavar="FIELD", default="TaxExemptNumber", help="the same in F&O"
    )
    accounts.set_defaults(run=run)


async def run(arguments: argparse.Namespace) -> int:
    if arguments.apply:
        return await _apply(arguments, Path(arguments.apply))
    return await _propose(arguments)


def _new_file(name: str) -> Path:
    path = Path(name)
    if path.exists():
        raise CommandFailed(
            f"{path} exists and may hold a person's decisions", "name another file with --output"
        )
    return path


async def _propose(arguments: argparse.Namespace) -> int:
    from integration.cli import match_file
    from integration.flows.account_matching import propose

    path = _new_file(arguments.output)
    async with running_app() as app:
        accounts, customers = await _open_records(app, arguments)
    proposals = list(propose(accounts, customers))
    match_file.write(path, proposals)
    rules = Counter(
        each.rule if each.approved else "to be decided by a person" for each in proposals
    )
    for rule, count in rules.items():
        print(f"{count:7} {'new customer' if rule == 'none' else rule}")
    print(f"{len(proposals)} lines for {len(accounts)} accounts are in {path}")
    print("next: check the column approved, then run the command with --apply")
    return 0


async def _apply(arguments: argparse.Namespace, path: Path) -> int:
    from integration.cli import match_file
    from integration.cli.match_check import check
    from integration.messaging.hints import Hint

    lines = match_file.read(path)
    async with running_app() as app:
        accounts, customers = await _open_records(app, arguments)
        checked = check(lines, {account.id: account for account in accounts}, customers)
        if checked.problems:
            for problem in checked.problems[:_SHOWN]:
                print(problem, file=sys.stderr)
            raise CommandFailed(
                f"{path} holds {len(checked.problems)} mistakes; nothing was stored",
                "correct them, then run the command again",
            )
        await app.matches.approve(checked.links, checked.create, checked.named)
        stamp, now = uuid.uuid4().hex, datetime.now(UTC)
        keys = [*checked.links, *sorted(checked.create)]
        for start in range(0, len(keys), _SENT_AT_ONCE):
            await app.queues.send_hints(
                Hint(
                    source="salesforce",
                    object="Account",
                    key=key,
                    root=key,
                    event_id=f"match:{stamp}:{key}",
                    seen_at=now,
                )
                for key in keys[start : start + _SENT_AT_ONCE]
            )
    print(f"{len(checked.links)} links and {len(checked.create)} new customers are approved")
    print("the account flow writes them now; accounts that are not approved wait")
    return 0


async def _open_records(
    app: App, arguments: argparse.Namespace
) -> tuple[list[OpenAccount], list[OpenCustomer]]:
    from integration.cli.match_reading import OpenRecords

    records = OpenRecords(app, arguments.tax_field, arguments.customer_tax_field)
    return await records.accounts(), await records.customers()
