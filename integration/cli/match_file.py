"""The file in which a person approves proposals: CSV, or JSON by its name.

Columns: account_id, account_name, company, customer_number, customer_name, rule, score, approved, note.
`approved` is yes or no. A line without customer_number approves a new customer for the account. Only
account_id, company, customer_number and approved are read back.
"""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.cli.problems import CommandFailed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from integration.flows.account_matching import Proposal

COLUMNS = (
    "account_id", "account_name", "company", "customer_number", "customer_name", "rule", "score",
    "approved", "note",
)  # fmt: skip
_READ = ("account_id", "company", "customer_number", "approved")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Line:
    """`place` says where it stands: "line 7", "entry 7"."""

    place: str
    account_id: str
    company: str
    customer_number: str
    approved: str


def write(path: Path, proposals: Iterable[Proposal]) -> None:
    """Raises OSError."""
    rows = [_row(proposal) for proposal in proposals]
    if _is_json(path):
        path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return
    text = io.StringIO(newline="")
    sheet = csv.DictWriter(text, COLUMNS)
    sheet.writeheader()
    sheet.writerows({name: _safe(value) for name, value in row.items()} for row in rows)
    # With a byte order mark, or Excel takes it for another encoding.
    path.write_text(text.getvalue(), encoding="utf-8-sig", newline="")


def read(path: Path) -> list[Line]:
    """Raises CommandFailed where the file is not of this form."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if _is_json(path) else _csv_rows(text)
    except (OSError, ValueError, csv.Error) as error:
        raise CommandFailed(
            f"{path} cannot be read ({type(error).__name__})",
            "name a file that `match accounts` wrote, saved as CSV in UTF-8",
        ) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise CommandFailed(f"{path} is no list of lines", "name a file that the command wrote")
    missing = [name for name in _READ if rows and name not in rows[0]]
    if missing or not rows:
        what = f"lacks the columns {', '.join(missing)}" if missing else "holds no lines"
        raise CommandFailed(f"{path} {what}", "keep the columns that the command wrote")
    first, word = (1, "entry") if _is_json(path) else (2, "line")
    return [
        Line(f"{word} {number}", *(_text(row.get(name)) for name in _READ))
        for number, row in enumerate(rows, start=first)
    ]


def _row(proposal: Proposal) -> dict[str, str | int]:
    customer = proposal.customer
    return {
        "account_id": proposal.account.id,
        "account_name": proposal.account.name,
        "company": proposal.account.company,
        "customer_number": customer.number if customer else "",
        "customer_name": customer.name if customer else "",
        "rule": proposal.rule,
        "score": proposal.score,
        "approved": "yes" if proposal.approved else "no",
        "note": proposal.note,
    }


def _csv_rows(text: str) -> list[dict[str, str]]:
    """A spreadsheet in some languages saves semicolons."""
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    return list(csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter))


def _safe(value: str | int) -> str | int:
    """A spreadsheet must not take a name for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _text(value: object) -> str:
    text = "" if value is None else str(value).strip()
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def _is_json(path: Path) -> bool:
    return path.suffix.lower() == ".json"
