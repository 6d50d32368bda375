"""Takes cases out of the queue and the ledger, after a copy of each was put into the archive.

`archive/dead-letters/<day>/<run>-<id>.json`: {"removed_at","audit","case":{…},"message":"<base64>"|null}.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote

from integration.cli.output import many

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.cli.cases import HintCase
    from integration.cli.output import Output
    from integration.messaging.dead_letter_box import DeadLetterBox, Letter
    from integration.wiring import App

ARCHIVE = "archive/dead-letters/"
_TOGETHER = 16


async def remove(
    app: App,
    out: Output,
    box: DeadLetterBox,
    cases: Sequence[HintCase],
    letters: Mapping[str, Letter],
    *,
    run: str,
    audit: str,
) -> list[HintCase]:
    """Returns those that somebody else has locked, which stay. Nothing is removed that is not archived."""
    for start in range(0, len(cases), _TOGETHER):
        part = cases[start : start + _TOGETHER]
        await asyncio.gather(*(_archive(app, case, letters, run, audit) for case in part))
    numbers = {case.number: case for case in cases if case.number is not None}
    left: set[int] = set()
    if numbers:
        left = await box.remove(numbers, on_wait=_Waiting(out).tell)
    for case in cases:
        if case.number is None and case.hint is not None:
            await app.ledger.settle(case.cause.flow, case.hint.key)
    return [numbers[number] for number in left]


class _Waiting:
    """Says it once."""

    def __init__(self, out: Output) -> None:
        self._out = out
        self._told = False

    def tell(self, count: int) -> None:
        if count and not self._told:
            self._told = True
            self._out.say(
                f"{many(count, 'message')} locked by an earlier command; waiting up to a minute"
            )


async def _archive(
    app: App, case: HintCase, letters: Mapping[str, Letter], run: str, audit: str
) -> None:
    now = datetime.now(UTC)
    letter = letters.get(case.id)
    body = {
        "removed_at": now.isoformat(timespec="seconds"),
        "audit": audit,
        "case": {
            **dataclasses.asdict(case),
            "hint": case.hint.to_json() if case.hint else None,
        },
        "message": base64.b64encode(letter.raw).decode() if letter else None,
    }
    name = f"{ARCHIVE}{now:%Y-%m-%d}/{run}-{quote(case.id, safe='')}.json"
    await app.state.write(name, json.dumps(body, default=str, ensure_ascii=False).encode())
