"""Switches and faults of data management, set over HTTP (see `control`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

# Kind of fault → what it does to the next execution it matches
KINDS = {
    "bad-request": "the first `polls` status answers are the text `Bad request`",
    "busy": "an import is refused as if another one ran",
    "crash": "ends as Failed after `rows` rows, without any detail; 0: before staging",
    "error-file": "the URL of the error-keys file stays empty for `polls` polls",
    "export-url": "the URL of the package stays empty for `polls` polls after success",
    "no-error-file": "the error-keys file is never there",
    "no-errors": "GetExecutionErrors is empty",
    "slow": "executes for `seconds` longer",
    "stuck": "stays Executing until somebody cancels it",
    "unknown": "`polls` status answers are Unknown; 0: all of them",
}


@dataclass(frozen=True)
class SourceFormat:
    """A row of F&O's Data sources. A byte order mark in a file wins over `encoding`."""

    encoding: str = "utf-8"
    delimiter: str = ","


DEFAULT_FORMATS = {
    "CSV-Unicode": SourceFormat(),
    "CSV": SourceFormat("cp1252"),
    "CSV-UTF16": SourceFormat("utf-16-le"),
    "CSV-Semicolon": SourceFormat(delimiter=";"),
}


@dataclass
class PackageSettings:
    """Seconds and polls; what is UNVERIFIED in the contract is switchable."""

    start_delay: float = 0.1  # NotRun
    run_delay: float = 0.2  # Executing at least
    error_file_polls: int = 1
    export_url_polls: int = 1
    url_seconds: int = 3600  # how long a signed URL works
    # "empty": an auto-generated column draws a number where the cell is empty; "all": always
    auto_numbers: str = "empty"
    # The error-keys file also holds the tenant's extension fields, where they were imported
    extension_keys: bool = True
    byte_order_mark: bool = True  # in files that F&O writes
    formats: dict[str, SourceFormat] = field(default_factory=lambda: dict(DEFAULT_FORMATS))

    def update(self, given: Mapping[str, Any]) -> None:
        """Sets all given switches or, with `ValueError`, none. `formats` are added to the known ones."""
        given = dict(given)
        formats = {
            str(name): SourceFormat(**settings)
            for name, settings in given.pop("formats", {}).items()
        }
        for each in formats.values():
            "".encode(each.encoding)  # LookupError for an unknown one
        known = {each.name: type(getattr(self, each.name)) for each in fields(self)}
        for name, value in given.items():
            kinds = (int, float) if known.get(name) is float else known.get(name)
            if kinds is None or not isinstance(value, kinds):
                raise ValueError(f"no setting {name!r} of this type")
        if given.get("auto_numbers", "empty") not in ("empty", "all"):
            raise ValueError("auto_numbers is empty or all")
        for name, value in given.items():
            setattr(self, name, value)
        self.formats.update(formats)


@dataclass
class PackageFault:
    """Hits the next `count` executions (None: all) whose project matches; `operation` import or export."""

    kind: str
    operation: str = ""
    project: str = ".*"
    count: int | None = 1
    polls: int = 1
    rows: int = 0
    seconds: float = 1.0
    fired: int = 0

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> Self:
        fault = cls(**given)
        if fault.kind not in KINDS:
            raise ValueError(f"kind is one of {sorted(KINDS)}")
        re.compile(fault.project)
        return fault

    def applies(self, operation: str, project: str) -> bool:
        wanted = self.operation in ("", operation) and re.search(self.project, project)
        if self.count == 0 or not wanted:
            return False
        if self.count is not None:
            self.count -= 1
        self.fired += 1
        return True
