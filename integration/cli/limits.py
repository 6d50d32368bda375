"""`limits`: what Salesforce still lets the whole organisation do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.cli.command import command
from integration.cli.output import Column, Output
from integration.cli.problems import DONE, FAILED
from integration.cli.running import running_app

if TYPE_CHECKING:
    import typer

# Name in the answer of Salesforce → what it is.
_SHOWN = {
    "DailyApiRequests": "API calls in 24 hours",
    "DailyBulkV2QueryJobs": "Bulk queries in 24 hours",
    "DailyBulkApiBatches": "Bulk batches in 24 hours",
    "DailyStandardVolumePlatformEvents": "platform events in 24 hours",
    "HourlyPublishedPlatformEvents": "published events in an hour",
    "MonthlyPlatformEvents": "delivered events in a month",
    "DataStorageMB": "data storage, MB",
    "FileStorageMB": "file storage, MB",
}
_SCARCE = 0.2


def add_to(app: typer.Typer) -> None:
    command(app, "limits", examples=("limits", "limits --json"))(limits)


async def limits(out: Output) -> int:
    """Shows what is left of the Salesforce limits, for all apps of the organisation together.

    Exit code 1 if less than a fifth of one of them is left. F&O has no such limits; it answers 429 when it is
    busy, and the app waits.
    """
    async with running_app() as app:
        found = await app.salesforce.limits()
    rows = [
        (label, each["Remaining"], each["Max"], _share(each))
        for name, label in _SHOWN.items()
        if (each := found.get(name)) and each.get("Max")
    ]
    out.document({"salesforce": {name: found[name] for name in _SHOWN if name in found}})
    numbers = [Column(name, number=True) for name in ("left", "of", "share left")]
    out.table(
        ("limit", *numbers),
        [(label, f"{left:,}", f"{most:,}", f"{share:.0%}") for label, left, most, share in rows],
    )
    scarce = [label for label, _, _, share in rows if share < _SCARCE]
    if scarce:
        out.say(f"little is left of: {', '.join(scarce)} (docs/runbook.md, salesforce-budget)")
    return FAILED if scarce else DONE


def _share(limit: dict[str, Any]) -> float:
    return float(limit["Remaining"]) / float(limit["Max"])
