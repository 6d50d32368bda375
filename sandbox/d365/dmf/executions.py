"""Executions of data projects and what is remembered of them (F&O's job history)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.d365.dmf.settings import PackageFault

NOT_RUN, EXECUTING, UNKNOWN = "NotRun", "Executing", "Unknown"
SUCCEEDED, PARTIAL, FAILED = "Succeeded", "PartiallySucceeded", "Failed"
CANCELED = "Canceled"
RUNNING = (NOT_RUN, EXECUTING)


class Crash(Exception):
    """The engine ends an execution as Failed and leaves no detail (F&O contract 6.1).

    The text is for `GET /sandbox/packages/executions` only; F&O shows it in its user interface.
    """


class ActionRefused(Exception):
    """X++ throws in an action: the words of the reason."""


@dataclass(frozen=True)
class RowError:
    """`record` is the number of the row in the file, from 1; `field` a staging field or empty."""

    record: int
    field: str
    message: str

    def to_json(self) -> dict[str, str]:
        return {"RecordId": str(self.record), "Field": self.field, "ErrorMessage": self.message}


@dataclass
class EntityRun:
    """One entity of an execution. `rows` counts what was read, or written by an export.

    `staging_rows`: the source rows that did not reach staging, `target_keys` the keys of those that went no
    further, both below their header.
    """

    label: str
    rows: int = 0
    inserted: int = 0
    updated: int = 0
    staging_failed: int = 0
    target_failed: int = 0
    errors: list[RowError] = field(default_factory=list)
    staging_rows: list[list[str]] = field(default_factory=list)
    target_keys: list[list[str]] = field(default_factory=list)
    staging_file: str = ""  # names of blobs; empty where there is none (yet)
    keys_file: str = ""

    def to_json(self) -> dict[str, Any]:
        shown = ("label", "rows", "inserted", "updated", "staging_failed", "target_failed")
        return {name: getattr(self, name) for name in shown}


@dataclass
class Execution:
    """`trouble`: why it crashed. `package`: blob of an exported package."""

    execution_id: str
    operation: str  # "import" or "export"
    project: str
    company: str
    client_id: str
    status: str = NOT_RUN
    entities: list[EntityRun] = field(default_factory=list)
    faults: dict[str, PackageFault] = field(default_factory=dict)
    polls: dict[str, int] = field(default_factory=dict)  # kind of fault → empty answers left
    trouble: str = ""
    package: str = ""
    url_polls: int = 0
    keys_polls: dict[str, int] = field(default_factory=dict)  # label → empty answers left
    canceled: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def running(self) -> bool:
        return self.status in RUNNING

    @property
    def obstructs(self) -> bool:
        """Whether another import is refused. A stuck one says that it executes, but nothing does."""
        stuck = self.status == EXECUTING and "stuck" in self.faults
        return self.operation == "import" and self.running and not stuck

    async def canceled_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.canceled.wait()
        except TimeoutError:
            return False
        return True

    @property
    def errors(self) -> list[RowError]:
        return [error for entity in self.entities for error in entity.errors]

    def entity(self, label: str) -> EntityRun | None:
        wanted = label.strip().lower()
        return next((each for each in self.entities if each.label.lower() == wanted), None)

    def outcome(self) -> str:
        """The final status by how many rows failed."""
        failed = sum(each.staging_failed + each.target_failed for each in self.entities)
        rows = sum(each.rows for each in self.entities)
        if not failed:
            return SUCCEEDED
        return PARTIAL if failed < rows else FAILED

    def status_text(self) -> str:
        """What a poll is told, faults included."""
        for kind, text in (("bad-request", "Bad request"), ("unknown", UNKNOWN)):
            left = self.polls.get(kind)
            if left is None:
                continue
            if left > 0:
                self.polls[kind] = left - 1
                return text
            if kind == "unknown" and self.faults[kind].polls == 0:
                return text
        return self.status

    def to_json(self) -> dict[str, Any]:
        shown = ("execution_id", "operation", "project", "company", "status", "trouble", "package")
        return {
            **{name: getattr(self, name) for name in shown},
            "entities": [each.to_json() for each in self.entities],
            "faults": sorted(self.faults),
            "errors": [error.to_json() for error in self.errors],
        }
