"""Everything that ended without being in step, from the queue and the ledger; and what is in step by now."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from integration.cli.problems import WrongUse, short
from integration.connections import service_bus
from integration.errors import ContractError, SystemTrouble
from integration.flows.endings import LEDGER_EVENT
from integration.flows.engine import converge
from integration.flows.outcomes import Failed, Skipped, Synced, WouldChange
from integration.messaging.dead_letter_box import DeadLetterBox
from integration.messaging.hints import Hint
from integration.recovery.replay import KINDS, LEDGER, Case, Cause

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from integration.flows.outcomes import Outcome
    from integration.messaging.dead_letter_box import Letter
    from integration.messaging.hints import Source
    from integration.state.ledger import LedgerEntry
    from integration.wiring import App

HintCase = Case[Hint]
IN_STEP = "in step"
_UNKNOWN = "not compared: "
_TOGETHER = 100  # records compared in one go


@asynccontextmanager
async def opened_box(app: App) -> AsyncIterator[DeadLetterBox]:
    """Repeats little: a person is waiting."""
    box = DeadLetterBox(service_bus(app.settings.azure, retry_total=1))
    try:
        yield box
    finally:
        await box.close()


async def read_cases(app: App, box: DeadLetterBox) -> tuple[list[HintCase], dict[str, Letter]]:
    """The cases, oldest first, and the messages of those from the queue by their id."""
    letters = await box.letters()
    cases = [_of_letter(letter) for letter in letters]
    cases += [_of_entry(entry) async for entry in app.ledger.entries()]
    return cases, {str(letter.number): letter for letter in letters}


def _of_letter(letter: Letter) -> HintCase:
    hint = letter.hint or _readable(letter.body)
    return Case(
        id=str(letter.number),
        cause=Cause(letter.flow, letter.reason, letter.system, letter.kind),
        description=letter.description,
        first=hint.seen_at if hint else letter.at,
        last=letter.at,
        hint=hint,
        number=letter.number,
        attempts=hint.attempt if hint else 1,
    )


def _readable(body: bytes | None) -> Hint | None:
    """A message that another release could not read may be one that this one can."""
    try:
        return Hint.from_bytes(body) if body else None
    except ContractError:
        return None


def _of_entry(entry: LedgerEntry) -> HintCase:
    source: Source = "d365" if entry.source == "d365" else "salesforce"
    last = _time(entry.at)
    return Case(
        id=f"{LEDGER}/{entry.flow}/{entry.key}",
        cause=Cause(entry.flow, entry.reason, _system_of(entry), LEDGER),
        description=entry.description,
        first=_time(entry.since),
        last=last,
        hint=Hint(
            source=source,
            object=entry.object,
            key=entry.key,
            root=entry.root,
            company=entry.company,
            # By this the entry leaves the ledger when the record is in step.
            event_id=f"{LEDGER_EVENT}cli:{last:%Y%m%dT%H%M%S}:{entry.flow}:{entry.key}",
            seen_at=last,
        ),
        attempts=entry.attempts,
    )


def _system_of(entry: LedgerEntry) -> str:
    return getattr(entry, "system", "") or "-"


def _time(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def chosen(
    cases: Sequence[HintCase],
    *,
    ids: Sequence[str] = (),
    flow: str = "",
    reason: str = "",
    system: str = "",
    kind: str = "",
) -> list[HintCase]:
    """Those named, by their own id or their record's, and all of the rest that the filters let through.

    Raises WrongUse for a kind, or for an id, that there is not.
    """
    if kind and kind not in KINDS:
        raise WrongUse(f"there is no kind {kind}", f"one of {', '.join(KINDS)}")
    unknown = [each for each in ids if not any(_is_named(case, each) for case in cases)]
    if unknown:
        raise WrongUse(
            f"nothing waits by the name {', '.join(unknown)}",
            "`dead-letters list --all` shows the ids; perhaps it was replayed or removed meanwhile",
        )
    return [
        case
        for case in cases
        if (not ids or any(_is_named(case, each) for each in ids))
        and (not flow or case.cause.flow == flow)
        and (not reason or case.cause.reason == reason)
        and (not system or case.cause.system == system)
        and (not kind or case.cause.kind == kind)
    ]


def _is_named(case: HintCase, name: str) -> bool:
    return name == case.id or (case.hint is not None and name == case.hint.key)


async def states_now(app: App, cases: Iterable[HintCase]) -> dict[str, str]:
    """By the id of a case: "in step", or in a few words what a run would do with the record now.

    Reads both systems and writes nothing. What could not be read says so instead of raising.
    """
    by_object: defaultdict[tuple[str, str], defaultdict[str, list[str]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for case in cases:
        if case.hint is not None:
            by_object[case.hint.source, case.hint.object][case.hint.key].append(case.id)
    flows = {(entry.source, entry.object): entry.flow for entry in app.entries}
    found: dict[str, str] = {}
    for name, records in by_object.items():
        keys = list(records)
        for start in range(0, len(keys), _TOGETHER):
            part = keys[start : start + _TOGETHER]
            if name not in flows:
                words = dict.fromkeys(part, "no flow handles it")
            else:
                outcomes = await converge(flows[name], dict.fromkeys(part, ""), dry=True)
                words = {key: state_of(outcome) for key, outcome in outcomes.items()}
            found |= {case: text for key, text in words.items() for case in records[key]}
    return found


def state_of(outcome: Outcome) -> str:
    match outcome:
        case Synced():
            return IN_STEP
        case WouldChange(operation):
            return {"create": "would be created", "update": "would be updated"}.get(
                operation, "number would be written back"
            )
        case Skipped(reason):
            return f"would be skipped: {reason}"
        case Failed(SystemTrouble() as error):  # says nothing of the record
            return f"{_UNKNOWN}{short(error)}"
        case Failed(error):
            return f"would fail: {getattr(error, 'reason', 'unexpected')}"
    return "belongs to another record"


def not_compared(now: dict[str, str]) -> Counter[str]:
    """Why cases could not be compared, with how many."""
    return Counter(
        text.removeprefix(_UNKNOWN) for text in now.values() if text.startswith(_UNKNOWN)
    )


def is_in_step(case: HintCase, now: dict[str, str]) -> bool | None:
    """None where nobody knows."""
    text = now.get(case.id, _UNKNOWN)
    return None if text.startswith(_UNKNOWN) else text == IN_STEP


def document_of(case: HintCase, now: dict[str, str]) -> dict[str, Any]:
    return {
        "id": case.id,
        **dataclasses.asdict(case.cause),
        "object": case.hint.object if case.hint else None,
        "key": case.hint.key if case.hint else None,
        "root": case.hint.root if case.hint else None,
        "first": case.first.isoformat(),
        "last": case.last.isoformat(),
        "attempts": case.attempts,
        "replays": case.hint.replay if case.hint else 0,
        "now": now.get(case.id),
        "in_step": is_in_step(case, now),
    }


def minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}"
