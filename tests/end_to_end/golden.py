"""What a command printed, compared with a page that a person has read: `golden/<name>.txt`.

What differs from run to run is replaced by a mark, of the same width where columns depend on it.
`GOLDEN=write` in the environment writes the pages anew; look at the difference before you keep it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from integration.cli.output import WIDTH

PAGES = Path(__file__).parent / "golden"
_MARKS = (
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "YYYY-MM-DD HH:MM:SS UTC"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "YYYY-MM-DD HH:MM"),
    (r"\((\d+ \w+ )+ago\)", "(SOME TIME ago)"),
    (r"127\.0\.0\.1:\d{5}", "127.0.0.1:PORTS"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "00000000-0000-0000-0000-000000000000"),
    (r"\b99,\d{3}\b", "99,NNN"),
    (r"\b\d+ of 100,000", "N of 100,000"),
    (r"\bthe same$|\d+ s (ahead|behind)$", "TIME APART"),
)


def page(text: str) -> str:
    for pattern, mark in _MARKS:
        text = re.sub(pattern, mark, text, flags=re.MULTILINE)
    return text


def compare(name: str, text: str) -> None:
    found, path = page(text), PAGES / f"{name}.txt"
    assert max(map(len, text.splitlines())) <= WIDTH, name
    if os.environ.get("GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8")
    assert found == path.read_text(encoding="utf-8"), name
