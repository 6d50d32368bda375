"""What reconciliation found: one report per run, as JSON for tools and as text for people.

{"run","started_at","ended_at","full","entities":{name:{"found_by","since","complete","compared","in_step",
 "differing","hinted","loaded","refused_before","repaired","skipped":{reason:n},"unclear":{reason:n},
 "differences":[{"flow","key","operation","fields"}],"problems":[{"flow","key","reason","description"}],
 "not_repaired":[key]}},
 "gaps":[{"object","since","until","reason","found","healed_at"}],
 "ledger":{"entries","hinted","oldest"},"counts":[{"name","salesforce","d365"}],
 "jobs":{kind: run},"not_compared":{name: reason}}
Holds keys and names of fields, never values. Lists are cut at LISTED; the numbers beside them are whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTED = 100
Report = dict[str, Any]


def new_report(run: str, started_at: str, *, full: bool) -> Report:
    return {
        "run": run,
        "started_at": started_at,
        "ended_at": None,
        "full": full,
        "entities": {},
        "gaps": [],
        "ledger": {"entries": 0, "hinted": 0, "oldest": None},
        "counts": [],
        "jobs": {},
        "not_compared": {},
    }


def new_entity(found_by: str, since: str | None) -> Report:
    return {
        "found_by": found_by,
        "since": since,
        "complete": False,
        "compared": 0,
        "in_step": 0,
        "differing": 0,
        "hinted": 0,
        "loaded": 0,
        "refused_before": 0,
        "repaired": 0,
        "skipped": {},
        "unclear": {},
        "differences": [],
        "problems": [],
        "not_repaired": [],
    }


def listed(entries: list[Any], entry: Any) -> None:
    if len(entries) < LISTED:
        entries.append(entry)


def counted(counts: dict[str, int], reason: str) -> None:
    counts[reason] = counts.get(reason, 0) + 1


def as_text(report: Report) -> str:
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    scope = "everything" if report["full"] else "the changes since the last run"
    if part := report.get("scope"):
        scope = ", ".join(f"{name} {_words(value)}" for name, value in part.items())
    yield f"Reconciliation {report['run']}, {report['started_at']} to {report['ended_at']}: {scope}"
    for name, entity in report["entities"].items():
        yield ""
        yield from _entity_lines(name, entity)
    for gap in report["gaps"]:
        yield (
            f"gap in the change events of {gap['object']} from {gap['since']} ({gap['reason']}):"
            f" {gap['found']} records of that time were read"
        )
    ledger = report["ledger"]
    yield ""
    if report.get("scope"):
        yield "ledger and counts: not compared by a run of a part"
    elif ledger["entries"]:
        yield (
            f"ledger: {ledger['entries']} records could not be delivered before, {ledger['hinted']} are"
            f" tried again; the oldest failed first at {ledger['oldest']}"
        )
    else:
        yield "ledger: empty"
    for count in report["counts"]:
        equal = "equal" if count["salesforce"] == count["d365"] else "DIFFERENT"
        yield f"count of {count['name']}: Salesforce {count['salesforce']}, F&O {count['d365']}: {equal}"
    for kind, run in report["jobs"].items():
        yield f"job {kind} was started: {run}"
    for name, reason in report["not_compared"].items():
        yield f"NOT COMPARED {name}: {reason}"


def _entity_lines(name: str, entity: Report) -> Iterator[str]:
    since = f" since {entity['since']}" if entity["since"] else ""
    yield f"{name} ({entity['found_by']}{since})"
    if not entity["complete"]:
        yield "  INCOMPLETE: the reason stands below under NOT COMPARED"
    yield (
        f"  {entity['compared']} compared, {entity['in_step']} in step, {entity['differing']} different,"
        f" {entity['hinted']} sent to be repaired, {entity['repaired']} of them in step afterwards"
    )
    if entity.get("loaded"):
        yield f"  {entity['loaded']} were too many for that and go in a data package"
    if entity["refused_before"]:
        yield f"  {entity['refused_before']} were tried by an earlier run and refused; nothing changed since"
    for reason, count in entity["skipped"].items():
        yield f"  {count} not to be kept in step: {reason}"
    for reason, count in entity["unclear"].items():
        yield f"  {count} could not be compared: {reason}"
    for each in entity["differences"]:
        fields = f" {', '.join(each['fields'])}" if each["fields"] else ""
        yield f"  different  {each['flow']} {each['key']}: {each['operation']}{fields}"
    for each in entity["problems"]:
        yield f"  unclear    {each['flow']} {each['key']}: {each['reason']}: {each['description']}"
    for key in entity["not_repaired"]:
        yield f"  not in step yet  {key}"


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else str(value)
