"""`match accounts`: which existing customer belongs to which existing account.

Proposes links in a file that a person edits; `--apply` checks the file and hands what is approved to the
account flow, which alone writes to the systems.
"""

import uuid
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from integration.cli import audit
from integration.cli.asking import confirm
from integration.cli.command import command
from integration.cli.options import Why, Yes
from integration.cli.output import Column, Output
from integration.cli.problems import DONE, CommandFailed
from integration.cli.running import running_app

if TYPE_CHECKING:
    from integration.cli.match_check import Checked
    from integration.flows.account_matching import OpenAccount, OpenCustomer
    from integration.wiring import App

_SHOWN = 50  # mistakes of one file
_SENT_AT_ONCE = 1000  # hints


def add_to(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Links records that exist on both sides.", no_args_is_help=True, rich_markup_mode=None
    )
    command(
        group,
        "accounts",
        examples=(
            "match accounts --output match.csv",
            "match accounts --apply match.csv --yes",
        ),
    )(accounts)
    app.add_typer(group, name="match")


async def accounts(
    out: Output,
    output: Annotated[
        str, typer.Option("--output", metavar="FILE", help="Where proposals go: .csv or .json.")
    ] = "match-accounts.csv",
    apply: Annotated[
        str, typer.Option("--apply", metavar="FILE", help="Checks and stores an approved file.")
    ] = "",
    tax_field: Annotated[
        str,
        typer.Option(
            "--tax-field",
            metavar="FIELD",
            help="Account field with the tax id; otherwise the one that the mapping file maps.",
        ),
    ] = "",
    customer_tax_field: Annotated[
        str, typer.Option("--customer-tax-field", metavar="FIELD", help="The same in F&O.")
    ] = "TaxExemptNumber",
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Proposes links between existing accounts and customers, or applies an approved file.

    Writes a file of proposals; after a person has decided in its column `approved`, --apply stores it and the
    account flow links or creates. A file with any mistake is refused as a whole.
    """
    if apply:
        return await _apply(out, Path(apply), tax_field, customer_tax_field, yes, why)
    return await _propose(out, _new_file(output), tax_field, customer_tax_field)


def _new_file(name: str) -> Path:
    path = Path(name)
    if path.exists():
        raise CommandFailed(
            f"{path} exists and may hold a person's decisions", "name another file with --output"
        )
    return path


async def _propose(out: Output, path: Path, tax_field: str, customer_tax_field: str) -> int:
    from integration.cli import match_file
    from integration.flows.account_matching import propose

    async with running_app() as app:
        found, customers = await _open_records(app, tax_field, customer_tax_field)
    proposals = list(propose(found, customers))
    match_file.write(path, proposals)
    rules = Counter(
        each.rule if each.approved else "to be decided by a person" for each in proposals
    )
    out.document(
        {"file": str(path), "lines": len(proposals), "accounts": len(found), "rules": dict(rules)}
    )
    out.table(
        (Column("lines", number=True), "rule"),
        [(count, "new customer" if rule == "none" else rule) for rule, count in rules.items()],
    )
    out.line(f"{len(proposals)} lines for {len(found)} accounts are in {path}")
    out.line("next: check the column approved, then run the command with --apply")
    return DONE


async def _apply(
    out: Output, path: Path, tax_field: str, customer_tax_field: str, yes: bool, why: str
) -> int:
    from integration.cli import match_file
    from integration.cli.match_check import check

    lines = match_file.read(path)
    async with running_app() as app:
        found, customers = await _open_records(app, tax_field, customer_tax_field)
        checked = check(lines, {account.id: account for account in found}, customers)
        if checked.problems:
            for problem in checked.problems[:_SHOWN]:
                out.say(problem)
            raise CommandFailed(
                f"{path} holds {len(checked.problems)} mistakes; nothing was stored",
                "correct them, then run the command again",
            )
        links, create = len(checked.links), len(checked.create)
        confirm(out, f"Link {links} accounts and create {create} customers?", yes=yes)
        await audit.record(
            app,
            "match accounts",
            why,
            links={account: key.text for account, key in checked.links.items()},
            create=sorted(checked.create),
        )
        await app.matches.approve(checked.links, checked.create, checked.named)
        await _hint(app, checked)
    out.document({"links": links, "create": create})
    out.line(f"{links} links and {create} new customers are approved")
    out.line("the account flow writes them now; accounts that are not approved wait")
    return DONE


async def _hint(app: "App", checked: "Checked") -> None:
    from integration.messaging.hints import Hint

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


async def _open_records(
    app: "App", tax_field: str, customer_tax_field: str
) -> "tuple[list[OpenAccount], list[OpenCustomer]]":
    from integration.cli.match_reading import OpenRecords

    records = OpenRecords(app, tax_field or None, customer_tax_field)
    return await records.accounts(), await records.customers()
