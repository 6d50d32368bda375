"""`dead-letters replay`: sends records again, in order, a few first, and says what became of each."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli import audit
from integration.cli.asking import confirm, reason
from integration.cli.cases import chosen, opened_box, read_cases
from integration.cli.command import command
from integration.cli.options import Flow, Kind, Reason, Seconds, ShowValues, System, Why, Yes
from integration.cli.outcomes import FAILED_AGAIN, Outcomes, new_run, told
from integration.cli.output import Column, Output, many
from integration.cli.problems import DONE, FAILED
from integration.cli.removing import remove
from integration.cli.running import running_app
from integration.cli.veil import HINT, veiled
from integration.messaging.hints import Hint
from integration.recovery.replay import Cause, Unit, canaries, units, waves

if TYPE_CHECKING:
    from integration.messaging.dead_letter_box import DeadLetterBox, Letter
    from integration.state.replies import Reply
    from integration.wiring import App

_LISTED = 30  # records that failed again


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "replay",
        examples=(
            'dead-letters replay --canary 5 --yes --why "tax groups corrected"',
            'dead-letters replay LETTER_ID --yes --why "customer group added"',
            'dead-letters replay --flow accounts --reason foreign-key --yes --why "terms added"',
        ),
    )(replay)


async def replay(
    out: Output,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of the list, or of records.")
    ] = None,
    canary: Annotated[
        int,
        typer.Option(
            "--canary",
            min=0,
            metavar="N",
            help="First N records of each cause; stops if they fail.",
        ),
    ] = 0,
    flow: Flow = "",
    why_code: Reason = "",
    system: System = "",
    kind: Kind = "",
    show_values: ShowValues = False,
    timeout: Seconds = 300,
    yes: Yes = False,
    why: Why = "",
) -> int:
    """Sends records again: those named, those that the filters let through, or all.

    Safe at any time: what is sent is a hint, and a record that is in step is left alone. Each record is sent
    once, however many cases it has; records of one account go one after another, the account first. A record
    that fails again is kept again. Exit code 1 if not all came in step.
    """
    async with running_app() as app, opened_box(app) as box:
        cases, letters = await read_cases(app, box)
        cases = chosen(cases, ids=ids or (), flow=flow, reason=why_code, system=system, kind=kind)
        ordered = units(cases)
        unusable = sum(case.hint is None for case in cases)
        if unusable:
            out.say(f"{unusable} hold no record that could be sent again (undecodable)")
        if not ordered:
            out.document({"sent": 0, "records": []})
            out.line("nothing can be sent again")
            return DONE
        confirm(out, _question(ordered, canary), yes=yes)
        given, run = reason(out, why), new_run()
        kept = await audit.record(
            app, "dead-letters replay", given, run=run, cases=[case.id for case in cases]
        )
        replaying = _Replaying(app, out, Outcomes(app, out, run, timeout))
        try:
            await replaying.all(ordered, canary)
        finally:
            # What was sent is on its way, whatever happens here: its letters have done their work.
            await asyncio.shield(replaying.clear(box, letters, kept))
    return _report(out, replaying, len(ordered), kept, show_values)


def _question(ordered: Sequence[Unit[Hint]], canary: int) -> str:
    count = sum(len(unit.cases) for unit in ordered)
    causes = len({cause for unit in ordered for cause in unit.causes})
    first = f", first {canary} of each cause" if canary else ""
    what = f"{many(count, 'case')}, {many(causes, 'cause')}{first}"
    return f"Send {many(len(ordered), 'record')} again ({what})?"


@dataclass
class _Replaying:
    """`ends` are the replies by record; None where nobody answered in time."""

    app: "App"
    out: Output
    outcomes: Outcomes
    ends: "dict[int, Reply | None]" = field(default_factory=dict)
    sent: list[Unit[Hint]] = field(default_factory=list)
    stopped: set[Cause] = field(default_factory=set)
    given_up: bool = False
    _failed_roots: set[str] = field(default_factory=set)

    async def all(self, ordered: Sequence[Unit[Hint]], canary: int) -> None:
        first = canaries(ordered, canary) if canary else []
        if first:
            await self._wave(first)
            for number, unit in enumerate(self.sent):
                if self._has_failed(number):
                    self.stopped |= unit.causes
        for wave in waves([unit for unit in ordered if unit not in first]):
            ready = [
                unit
                for unit in wave
                if not unit.causes & self.stopped and unit.root not in self._failed_roots
            ]
            if ready and not self.given_up:
                await self._wave(ready)

    async def _wave(self, wave: Sequence[Unit[Hint]]) -> None:
        now, start = datetime.now(UTC), len(self.sent)
        places = {self.outcomes.place(start + i): start + i for i in range(len(wave))}
        hints = [_again(unit, place, now) for unit, place in zip(wave, places, strict=True)]
        self.sent += wave
        await self.app.queues.send_hints(hints)
        replies = await self.outcomes.wait(places)
        for place, number in places.items():
            self.ends[number] = replies.get(place)
            if self._has_failed(number):
                self._failed_roots.add(self.sent[number].root)
        self.given_up = any(
            reply is None or not reply.is_final for reply in map(self.ends.get, places.values())
        )

    def _has_failed(self, number: int) -> bool:
        reply = self.ends.get(number)
        return reply is not None and reply.outcome in FAILED_AGAIN

    async def clear(self, box: "DeadLetterBox", letters: "Mapping[str, Letter]", kept: str) -> None:
        """Entries of the ledger stay: they leave it when their record is in step."""
        done = [case for unit in self.sent for case in unit.cases if case.number is not None]
        if done:
            with self.out.progress("clearing the queue"):
                run = self.outcomes.run
                locked = await remove(self.app, self.out, box, done, letters, run=run, audit=kept)
            if locked:
                self.out.say(f"{len(locked)} letters are held by another command and stay")
        await self.outcomes.forget()


def _again(unit: Unit[Hint], reply_to: str, now: datetime) -> Hint:
    """The hint to send: a new generation, with all attempts before it.

    Its age begins anew, or a record that waited for days would be given up at the first trouble.
    """
    replays = max(case.hint.replay for case in unit.cases if case.hint is not None)
    return replace(
        unit.hint, replay=replays + 1, attempt=1, put_backs=0, seen_at=now, reply_to=reply_to
    )


def _report(out: Output, replaying: _Replaying, total: int, kept: str, show_values: bool) -> int:
    rows = [
        {
            "object": unit.hint.object,
            "key": unit.hint.key,
            "cases": [case.id for case in unit.cases],
            "outcome": reply.outcome if reply else None,
            "reason": reply.reason if reply else None,
            "description": veiled(reply.description, values=show_values) if reply else None,
        }
        for number, unit in enumerate(replaying.sent)
        for reply in [replaying.ends.get(number)]
    ]
    causes = sorted(replaying.stopped, key=lambda cause: (cause.flow, cause.reason, cause.system))
    stopped = [vars_of(cause) for cause in causes]
    out.document({"sent": len(rows), "records": rows, "stopped": stopped, "audit": kept})
    counts = Counter(told(reply) for reply in replaying.ends.values())
    out.table((Column("records", number=True), "outcome"), [(n, w) for w, n in counts.items()])
    bad = [row for row in rows if row["outcome"] in FAILED_AGAIN]
    if bad:
        out.line()
        out.table(
            (Column("record", True), "reason", "description"),
            [
                (f"{row['object']} {row['key']}", row["reason"], row["description"])
                for row in bad[:_LISTED]
            ],
            title=f"failed again ({len(bad)})",
        )
        if not show_values:
            out.line(HINT)
    left = total - len(rows)
    for cause in causes:
        out.line(f"stopped: {cause.flow} {cause.reason} fails again; correct its cause first")
    if replaying.given_up:
        out.line("not all answered in time; does the app run? (`status`)")
    if left:
        out.line(f"not sent, and still where they were: {many(left, 'record')}")
    fine = not bad and not left and not replaying.given_up
    return DONE if fine else FAILED


def vars_of(cause: Cause) -> dict[str, Any]:
    return {"flow": cause.flow, "reason": cause.reason, "system": cause.system, "kind": cause.kind}
