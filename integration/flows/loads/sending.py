"""Sends what differs: one data package after another, and takes what F&O refused out of each.

A package is sent once. What became of its rows F&O tells, or the reading back; rows of which nobody knows
get a hint, and then their flow looks before it writes.
"""

from __future__ import annotations

import json
from array import array
from typing import TYPE_CHECKING

from integration.d365.errors import Call, EtagConflict, RecordExists, translate
from integration.errors import IntegrationError, RecordBusy, SystemTrouble
from integration.flows.loads.definition import header, package_table
from integration.flows.loads.findings import SEND, SENT
from integration.flows.loads.keys import owner, publish
from integration.flows.loads.lines import chunks, hashes_of, key_set, text_lines
from integration.flows.loads.parts import progress, to
from integration.flows.loads.routing import to_d365
from integration.telemetry import audit, log_event

if TYPE_CHECKING:
    from integration.d365.package_steps import ImportResult
    from integration.flows.loads.findings import Findings
    from integration.flows.loads.parts import Parts
    from integration.jobs.job import Position, Progress

REFUSED = "refused"  # with the number of its package: keys that F&O refused
_LINES = 5_000


async def decide(parts: Parts, position: Position) -> Progress:
    """Now the number of differences is known, and with it how they go."""
    if position["params"].get("dry"):
        return progress(to(position, "release"))
    rows = sum(group["rows"] for group in position["groups"])
    if not rows:
        return progress(to(position, "write_back"))
    if to_d365(rows, parts.settings.volume, parts.salesforce.budget) == "odata":
        give = list(range(len(position["groups"])))
        return progress(to(position, "give", give=give, then="write_back"))
    hashes = array("Q")
    for number in range(len(position["groups"])):
        hashes += await hashes_of(parts.spool(position, f"{SENT}-{number}"))
    await publish(parts, position, hashes, version=2)
    return progress(to(position, "send", group=0, package=None))


async def give(parts: Parts, position: Position) -> Progress:
    """Hints for the rows of these packages, but not for those that F&O refused."""
    number = position["give"][0] if position["give"] else None
    if number is None:
        return progress(to(position, position["then"]))
    found = await parts.findings(position)
    refused = await key_set(parts, position, [f"{REFUSED}-{number}"])
    spool = parts.spool(position, f"{SENT}-{number}")
    async for keys in chunks(spool, position, _LINES, text_lines):
        for key in keys:
            if key not in refused:
                found.hint(key)
    await found.save()
    if position["at"] is None:
        position.update(at=[0, 0], give=position["give"][1:])
    return progress(position, found)


async def send(parts: Parts, position: Position) -> Progress:
    number, groups = position["group"], position["groups"]
    if number >= len(groups):
        return progress(to(position, "numbers"))
    group, definition = groups[number], parts.definition
    if position["package"] is None:
        project = parts.settings.volume.package_project
        position["package"] = parts.packages.begin(
            f"{position['folder']}{SEND}-{number}",
            package_table(definition, group["operation"], group["columns"]),
            company=group["company"],
            project=f"{project} {definition.flow.name}",
            execution=f"{definition.kind}-{position['run']}-{number}",
            owner=owner(parts, position),
        )
        group["state"] = "begun"
        return progress(position)  # the id of the execution is stored before F&O hears of it
    advance = await parts.packages.advance(position["package"])
    position["package"] = advance.position
    if advance.result is None:
        return progress(position, delay=advance.delay)
    return _ended(parts, position, advance.result)


def _ended(parts: Parts, position: Position, result: ImportResult) -> Progress:
    number = position["group"]
    group = position["groups"][number]
    if not result.begun and position.get("cancelled"):
        group["state"] = "left"
        return progress(to(position, "numbers", package=None), counts={"not-sent": group["rows"]})
    group.update(state="over", failed=result.failed, unknown=result.unknown)
    name, execution = parts.definition.flow.name, position["package"]["execution"]
    audit(name, f"package {group['operation']}", execution, group["columns"], rows=group["rows"])
    log_event("data package ended", flow=name, execution=execution, status=result.status)
    counts = {"packages": 1}
    if group["operation"] == "update" and not result.unknown:
        counts["changed"] = result.rows - result.failed
    following = to(
        position, "refusals", failures=result.failures, group=number + 1, package=None, of=number
    )
    if result.status == "deadline" or (result.unknown and result.status in ("Failed", "Canceled")):
        reason = f"package-{result.status.lower()}"
        following["trouble"] = {"reason": reason, "description": result.description}
        following["late"] = result.status != "Failed"  # it may still be running inside F&O
        following["group"] = len(position["groups"])
    found_later = group["operation"] == "create"
    unsure = [number] if result.unknown and not found_later else []
    left = range(number + 1, following["group"])
    following.update(give=[*unsure, *left], then="send")
    for each in left:
        position["groups"][each]["state"] = "left"
    return progress(following, counts=counts)


async def refusals(parts: Parts, position: Position) -> Progress:
    """Each refused row with F&O's reason; those that may pass later get a hint."""
    found = await parts.findings(position)
    column, of = header(parts.definition.id_field), position["of"]
    spool = parts.named_spool(position["failures"])
    async for lines in chunks(spool, position, _LINES, text_lines):
        for line in lines:
            row = json.loads(line)
            key = str(row["key"].get(column) or "")
            if not key:
                continue  # a row without its id was never made here
            found.line(f"{REFUSED}-{of}", key)
            _refuse(key, row.get("field") or "", row.get("message") or "", found)
        if found.is_full:
            await found.save()
    await found.save()
    return progress(position if position["at"] else to(position, "give"), found)


def _refuse(key: str, field: str, message: str, found: Findings) -> None:
    error = refusal(field, message)
    if isinstance(error, (RecordBusy, RecordExists, SystemTrouble)):
        found.hint(key)
    else:
        found.fail(key, error)


def refusal(field: str, message: str) -> IntegrationError:
    """F&O's words for a row as the error that OData would have given for them."""
    text = message or "F&O refused the row and did not say why; see its data management job"
    body = json.dumps({"error": {"message": text}})
    call = Call("data package", safe_to_repeat=False)
    error = translate(400, body, {}, call, throttle_cap=0)
    if isinstance(error, (RecordBusy, EtagConflict)):
        return error
    described = f"{field}: {error.description}" if field else error.description
    return type(error)(described, reason=error.reason, system="d365")
