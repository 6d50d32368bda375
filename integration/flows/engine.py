"""The convergence engine: read sources, map, read targets, compare, write, write back.

The same code converges one record, a batch of a bucket, a back-fill and, with writing switched off, the
dry run. Events never carry data into it, so duplicates, echoes and re-ordering need no code of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from integration.errors import RecordBusy
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped, Synced, WouldChange
from integration.mapping.tables import Change
from integration.telemetry import audit, span

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from integration.flows.flow import Flow, Record, Write

# The target changed between our read and our write, or what the record hangs on was made meanwhile:
# reading again at once settles it.
CUSTOMER_ENSURED = "customer-ensured"
READ_AGAIN = frozenset({"etag-conflict", "already-exists", CUSTOMER_ENSURED})


@dataclass(slots=True)
class _Work:
    """What is known of each key of one batch; a key with an outcome is finished."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    wanted: dict[str, Any] = field(default_factory=dict)
    current: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Write] = field(default_factory=dict)
    written: dict[str, Record] = field(default_factory=dict)

    def fail(self, key: str, error: Exception) -> None:
        self.outcomes[key] = Failed(error)

    def drop_finished(self, part: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in part.items() if key not in self.outcomes}


async def converge(
    flow: Flow[Any, Any],
    buckets: Mapping[str, str],
    *,
    dry: bool = False,
    owns: Callable[[str, str], bool] = lambda root, bucket: True,
    sources: dict[str, Record] | None = None,
) -> dict[str, Outcome]:
    """Brings the records with these keys in step; `buckets` maps each key to the bucket that is held.

    `owns(root, bucket)` tells whether the record's current root belongs to that bucket; where it does not,
    nothing is written and the outcome is Moved. The source records are put into `sources` where it is given,
    to be shown beside the differences of a dry run. Every key gets exactly one outcome; nothing is raised for
    a record or a system.
    """
    with span(f"converge {flow.name}", records=len(buckets)):
        outcomes = await _once(flow, buckets, dry=dry, owns=owns, sources=sources)
        again = {
            key: buckets[key]
            for key, outcome in outcomes.items()
            if isinstance(outcome, Failed)
            and isinstance(outcome.error, RecordBusy)
            and outcome.error.reason in READ_AGAIN
        }
        if again:
            outcomes.update(await _once(flow, again, dry=dry, owns=owns, sources=sources))
        return outcomes


async def _once(
    flow: Flow[Any, Any],
    buckets: Mapping[str, str],
    *,
    dry: bool,
    owns: Callable[[str, str], bool],
    sources: dict[str, Record] | None,
) -> dict[str, Outcome]:
    work = _Work()
    await _read(flow, work, buckets, owns)
    if sources is not None:
        sources.update(work.records)
    _map(flow, work)
    await _compare(flow, work)
    if dry:
        _show(flow, work)
        return work.outcomes
    await _write(flow, work, buckets)
    await _write_back(flow, work)
    return work.outcomes


async def _read(
    flow: Flow[Any, Any],
    work: _Work,
    buckets: Mapping[str, str],
    owns: Callable[[str, str], bool],
) -> None:
    found = await _all_or_fail(work, list(buckets), lambda: flow.read(list(buckets)))
    for key, bucket in buckets.items():
        if key in work.outcomes:
            continue
        record = found.get(key, Skipped("not-found"))
        if isinstance(record, Exception):
            work.fail(key, record)
        elif isinstance(record, Skipped | Moved):
            work.outcomes[key] = record
        else:
            try:
                root = flow.root_of(record)
                mine = owns(root, bucket)
            except Exception as error:  # one record's surprise is that record's outcome
                work.fail(key, error)
                continue
            if mine:
                work.records[key] = record
            else:
                work.outcomes[key] = Moved(root, key)


def _map(flow: Flow[Any, Any], work: _Work) -> None:
    for key, record in work.records.items():
        try:
            wanted = flow.wanted(record)
        except Exception as error:
            work.fail(key, error)
            continue
        if isinstance(wanted, Skipped):
            work.outcomes[key] = wanted
        else:
            work.wanted[key] = wanted


async def _compare(flow: Flow[Any, Any], work: _Work) -> None:
    if not work.wanted:
        return
    found = await _all_or_fail(work, list(work.wanted), lambda: flow.find(work.wanted))
    for key, wanted in work.drop_finished(work.wanted).items():
        current = found.get(key)
        if isinstance(current, Exception):
            work.fail(key, current)
            continue
        try:
            change = flow.compare(wanted, current)
        except Exception as error:
            work.fail(key, error)
            continue
        work.current[key] = current
        if isinstance(change, Skipped | Moved):
            work.outcomes[key] = change
        elif change is not None:
            work.changes[key] = change


def _show(flow: Flow[Any, Any], work: _Work) -> None:
    """What a real run would write: to the target, or only back to the source."""
    for key in work.drop_finished(work.wanted):
        change = work.changes.get(key)
        if change is not None:
            work.outcomes[key] = WouldChange(
                change.operation, change.differences or _as_changes(change.values)
            )
            continue
        try:
            back = flow.back(work.records[key], None, work.current.get(key))
        except Exception as error:
            work.fail(key, error)
            continue
        work.outcomes[key] = (
            WouldChange("write-back", _as_changes(back)) if back else Synced(changed=False)
        )


def _as_changes(values: Record) -> tuple[Change, ...]:
    return tuple(Change(name, None, value) for name, value in values.items())


async def _write(flow: Flow[Any, Any], work: _Work, buckets: Mapping[str, str]) -> None:
    changes = work.changes
    if not changes:
        return
    held = {key: buckets[key] for key in changes}
    answers = await _all_or_fail(work, list(changes), lambda: flow.write(changes, held))
    for key, change in work.drop_finished(changes).items():
        answer = answers.get(key, RecordBusy("the write was not answered", reason="no-answer"))
        if isinstance(answer, Exception):
            work.fail(key, answer)
        elif isinstance(answer, Skipped):
            work.outcomes[key] = answer
        elif isinstance(answer, Moved):
            work.outcomes[key] = answer
            audit(flow.name, change.operation, key, sorted(change.values))
        else:
            work.written[key] = answer
            audit(flow.name, change.operation, key, sorted(change.values))


async def _write_back(flow: Flow[Any, Any], work: _Work) -> None:
    fields: dict[str, Record] = {}
    for key, record in work.drop_finished(work.records).items():
        try:
            back = flow.back(record, work.written.get(key), work.current.get(key))
        except Exception as error:
            work.fail(key, error)
            continue
        if back:
            fields[key] = back
    errors: Mapping[str, Exception] = {}
    if fields:
        errors = await _all_or_fail(work, list(fields), lambda: flow.write_back(fields))
    for key, record in work.drop_finished(work.records).items():
        if key in errors:
            work.fail(key, errors[key])
            continue
        if key in fields:
            audit(flow.name, "write-back", key, sorted(fields[key]))
        try:
            problem = flow.unresolved(record, work.written.get(key), work.current.get(key))
        except Exception as error:
            work.fail(key, error)
            continue
        if problem is not None:
            work.fail(key, problem)
        else:
            work.outcomes[key] = Synced(changed=key in work.written or key in fields)


async def _all_or_fail(
    work: _Work, keys: list[str], call: Callable[[], Awaitable[Mapping[str, Any]]]
) -> Mapping[str, Any]:
    """One call for many records: where it raises, that is the outcome of each of them."""
    try:
        return await call()
    except Exception as error:
        for key in keys:
            work.fail(key, error)
        return {}
