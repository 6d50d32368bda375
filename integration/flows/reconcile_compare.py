"""Compares records by their own flows, with writing switched off, and says what that means for a report."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from integration.errors import (
    ContractError,
    DeadlineReached,
    IntegrationError,
    Misconfigured,
    OutcomeUnknown,
    RecordBusy,
    RecordError,
    SystemTrouble,
)
from integration.flows.drift_report import counted, listed
from integration.flows.engine import converge
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.flows.context import FlowEntry
    from integration.flows.drift_report import Report
    from integration.flows.reconcile_keys import Ref

Entries = dict[tuple[str, str], "FlowEntry"]  # by the flow's name and the object of the hint
# What ends the comparison of one entity and not the run: it takes a person, waiting is of no use.
FINAL = (Misconfigured, ContractError, RecordError)
_WAITED_OUT = (SystemTrouble, DeadlineReached, OutcomeUnknown)


async def compare(refs: Iterable[Ref], entries: Entries) -> dict[Ref, Outcome]:
    """What a real run would do with each record. Raises the trouble of a system: waiting helps there."""
    groups: defaultdict[tuple[str, str], dict[str, Ref]] = defaultdict(dict)
    for ref in refs:
        groups[ref.flow, ref.object].setdefault(ref.key, ref)
    outcomes: dict[Ref, Outcome] = {}
    for name, group in groups.items():
        found = await converge(entries[name].flow, dict.fromkeys(group, ""), dry=True)
        for key, outcome in found.items():
            if isinstance(outcome, Failed) and isinstance(outcome.error, _WAITED_OUT):
                raise outcome.error
            outcomes[group[key]] = outcome
    return outcomes


def judge(entity: Report, outcomes: Mapping[Ref, Outcome], refused: Mapping[str, str]) -> list[Ref]:
    """Counts the outcomes and returns the records to send hints for.

    Those are the ones that differ, and those that could not be compared just now. A record that its flow
    rejects, that needs a person, or whose same change (`refused`, by `name_of`) an earlier run tried in
    vain is only reported: a hint would add one more dead letter with each run.
    """
    sent: list[Ref] = []
    for ref, outcome in outcomes.items():
        entity["compared"] += 1
        match outcome:
            case Synced():
                entity["in_step"] += 1
            case Skipped(reason):
                counted(entity["skipped"], reason)
            case Failed(error):
                _unclear(entity, ref, error)
                if isinstance(error, RecordBusy):
                    sent.append(ref)
            case WouldChange(operation, differences):
                # Of a record that is missing as a whole the fields would say nothing.
                fields = [] if operation == "create" else [change.field for change in differences]
                _different(entity, ref, operation, fields)
                if refused.get(name_of(ref)) == change_of(outcome):
                    entity["refused_before"] += 1
                else:
                    sent.append(ref)
            case Moved(root, key):
                _different(entity, ref, "moved", [])
                sent.append(replace(ref, root=root, key=key))
    return sent


def name_of(ref: Ref) -> str:
    return f"{ref.flow}/{ref.object}/{ref.key}"


def change_of(outcome: WouldChange) -> str:
    """Tells one change from another, so that a corrected record is noticed; keeps no value."""
    values = sorted((change.field, repr(change.new)) for change in outcome.differences)
    return hashlib.sha256(repr((outcome.operation, values)).encode()).hexdigest()[:16]


def _different(entity: Report, ref: Ref, operation: str, fields: list[str]) -> None:
    entity["differing"] += 1
    entry = {"flow": ref.flow, "key": ref.key, "operation": operation, "fields": fields}
    listed(entity["differences"], entry)


def _unclear(entity: Report, ref: Ref, error: Exception) -> None:
    reason, text = "unexpected", type(error).__name__
    if isinstance(error, IntegrationError):
        reason, text = error.reason, error.description[:300]
    counted(entity["unclear"], reason)
    entry = {"flow": ref.flow, "key": ref.key, "reason": reason, "description": text}
    listed(entity["problems"], entry)
