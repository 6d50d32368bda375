"""Options that several commands have, each written once."""

from __future__ import annotations

from typing import Annotated

import typer

from integration.cli import completing

Json = Annotated[bool, typer.Option("--json", help="One JSON document instead of tables.")]
Debug = Annotated[bool, typer.Option("--debug", help="Shows where an error came from.")]
SettingsFile = Annotated[
    str,
    typer.Option(
        "--settings",
        metavar="FILE",
        help="App settings: local.settings.json, or as `az` lists them.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Does not ask.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Kept in the audit record.")]
ShowValues = Annotated[
    bool, typer.Option("--show-values", help="Shows values of records, which may be personal data.")
]
Seconds = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", help="How long outcomes are waited for.")
]
Wait = Annotated[bool, typer.Option("--wait", help="Follows the job to its end.")]
Flow = Annotated[
    str,
    typer.Option(
        "--flow", metavar="NAME", help="Of this flow only.", autocompletion=completing.flows
    ),
]
Reason = Annotated[str, typer.Option("--reason", metavar="CODE", help="With this reason only.")]
System = Annotated[
    str, typer.Option("--system", metavar="NAME", help="Refused by this system only.")
]
Kind = Annotated[
    str,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="failed, review, undecodable or ledger; otherwise all.",
        autocompletion=completing.kinds,
    ),
]
