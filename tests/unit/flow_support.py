"""What tests of flows share: a flow between two dicts, with faults on demand, and the reading of outcomes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from integration.errors import IntegrationError, RecordBusy, RecordNeedsReview, SystemName
from integration.flows.flow import Record, Write
from integration.flows.outcomes import Failed, Moved, Outcome, Skipped
from integration.mapping.tables import Change
from integration.recovery.decisions import EndState, FailurePolicy

# A mapping with a second company.
COMPANIES = '[companies]\ndefault = "usmf"\n[companies.by_country]\nDE = "demf"\n'


def error_of(outcome: Outcome) -> IntegrationError:
    assert isinstance(outcome, Failed), outcome
    assert isinstance(outcome.error, IntegrationError), outcome
    return outcome.error


@dataclass
class MemoryFlow:
    """Source records have `name`, `number` and perhaps `root`; a target record has `name`, `number` and
    `etag`. `faults` are by stage, or by (stage, key) for one record; each is raised, or returned where
    the protocol has a place for an error of one record. A fault in a list is used up.
    """

    source: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Record] = field(default_factory=dict)
    name: str = "memory"
    systems: tuple[SystemName, ...] = ("salesforce", "d365")
    policy: FailurePolicy = field(default_factory=FailurePolicy)
    faults: dict[str | tuple[str, str], Exception | list[Exception]] = field(default_factory=dict)
    calls: list[tuple[str, list[str]]] = field(default_factory=list)
    told: list[tuple[str, EndState]] = field(default_factory=list)
    noted: list[tuple[str, EndState]] = field(default_factory=list)

    def unresolved(
        self, record: Record, written: Record | None, current: Record | None
    ) -> RecordNeedsReview | None:
        fault = self._fault(("unresolved", record["Id"]))
        if fault is None or isinstance(fault, RecordNeedsReview):
            return fault
        raise fault

    async def ended(self, key: str, end: EndState) -> None:
        self.told.append((key, end))

    async def kept(self, key: str, end: EndState) -> None:
        self._one("kept", key)
        self.noted.append((key, end))

    def add(self, key: str, name: str = "Acme", **values: Any) -> None:
        self.source[key] = {"Id": key, "name": name, "number": None, **values}

    def _fault(self, place: str | tuple[str, str]) -> Exception | None:
        fault = self.faults.get(place)
        if isinstance(fault, list):
            return fault.pop(0) if fault else None
        return fault

    def _enter(self, stage: str, keys: list[str]) -> None:
        self.calls.append((stage, sorted(keys)))
        if fault := self._fault(stage):
            raise fault

    def _one(self, stage: str, key: str) -> None:
        if fault := self._fault((stage, key)):
            raise fault

    async def read(self, keys: list[str]) -> Mapping[str, Record | Skipped | Moved | Exception]:
        self._enter("read", keys)
        found: dict[str, Record | Skipped | Moved | Exception] = {
            key: self.source[key] for key in keys if key in self.source
        }
        return found | {key: error for key in keys if (error := self._fault(("read", key)))}

    def root_of(self, record: Record) -> str:
        self._one("root_of", record["Id"])
        return str(record.get("root", record["Id"]))

    def wanted(self, record: Record) -> Record | Skipped:
        self._one("wanted", record["Id"])
        return Skipped("not-wanted") if record["name"] is None else dict(record)

    async def find(self, wanted: Mapping[str, Record]) -> Mapping[str, Record | Exception | None]:
        self._enter("find", list(wanted))
        found: dict[str, Record | Exception | None] = {
            key: self.target[key] for key in wanted if key in self.target
        }
        return found | {key: error for key in wanted if (error := self._fault(("find", key)))}

    def compare(self, wanted: Record, current: Record | None) -> Write | Skipped | None:
        self._one("compare", wanted["Id"])
        values = {"name": wanted["name"]}
        if current is None:
            return Write("create", values)
        if current["name"] == wanted["name"]:
            return None
        change = Change("name", current["name"], wanted["name"])
        return Write("update", values, {"number": current["number"]}, current["etag"], (change,))

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> Mapping[str, Record | Exception]:
        assert changes.keys() == buckets.keys()
        self._enter("write", list(changes))
        answers: dict[str, Record | Exception] = {}
        for key, change in changes.items():
            if error := self._fault(("write", key)):
                answers[key] = error
            elif change.operation == "update" and self.target[key]["etag"] != change.etag:
                answers[key] = RecordBusy("changed meanwhile", reason="etag-conflict")
            else:
                row = self.target.setdefault(key, {"number": f"N-{key}", "etag": 0})
                row.update(change.values, etag=row["etag"] + 1)
                answers[key] = dict(row) if change.operation == "create" else {}
        return answers

    def back(self, record: Record, written: Record | None, current: Record | None) -> Record:
        self._one("back", record["Id"])
        row = written or current
        if row is None or record["number"] == row["number"]:
            return {}
        return {"number": row["number"]}

    async def write_back(self, fields: Mapping[str, Record]) -> Mapping[str, Exception]:
        self._enter("write_back", list(fields))
        errors = {}
        for key, values in fields.items():
            if error := self._fault(("write_back", key)):
                errors[key] = error
            else:
                self.source[key].update(values)
        return errors

    def stages(self) -> list[str]:
        return [stage for stage, _ in self.calls]
