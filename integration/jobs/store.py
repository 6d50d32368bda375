"""The blobs of the jobs: one state per run, and per kind the lease that lets one run at a time.

`jobs/<kind>/current.json` is {"id","until"}: the run that holds the kind. It is only believed while that
run is running and its deadline has not passed, so a crash between two writes blocks nothing.
`failed-rows/<kind>/<id>/<step>.jsonl` are all rows that a step could not deliver, a line
{"key","reason","description"} each; the state holds the first hundred of a run.
`cancel/<kind>/<id>.json` is {"at"}: somebody asked that run to end. A document of its own, because whoever
asks must not write into the state of a step that is at work.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

from integration.jobs.state import JobState
from integration.state.blobs import ABSENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from datetime import datetime

    from integration.jobs.job import RowFailure
    from integration.state.blobs import Document

_KEPT = 30  # finished runs per kind


class StateStore(Protocol):
    async def read(self, name: str) -> Document | None: ...
    async def write(self, name: str, body: bytes, *, expected: str | None = None) -> str: ...
    async def delete(self, name: str) -> None: ...
    def names(self, prefix: str) -> AsyncIterator[str]: ...


class JobStore:
    """Raises StateConflict where another instance wrote first, Unreachable (system storage)."""

    def __init__(self, state: StateStore) -> None:
        self._state = state

    async def load(self, kind: str, job_id: str) -> tuple[JobState, str] | None:
        """The state and its ETag."""
        document = await self._state.read(_name(kind, job_id))
        return (JobState.from_bytes(document.body), document.etag) if document else None

    async def save(self, state: JobState, etag: str) -> str:
        return await self._state.write(_name(state.kind, state.id), state.to_bytes(), expected=etag)

    async def open(self, state: JobState) -> str:
        """Writes a new run and returns its ETag."""
        return await self._state.write(
            _name(state.kind, state.id), state.to_bytes(), expected=ABSENT
        )

    async def discard(self, state: JobState) -> None:
        await self._state.delete(_name(state.kind, state.id))

    async def holder(self, kind: str) -> tuple[str | None, str]:
        """The id of the run that holds the kind, and the ETag to replace it with."""
        document = await self._state.read(_lease(kind))
        if document is None:
            return None, ABSENT
        return json.loads(document.body).get("id"), document.etag

    async def hold(self, state: JobState, etag: str) -> None:
        body = {"id": state.id, "until": state.deadline.isoformat()}
        await self._state.write(_lease(state.kind), json.dumps(body).encode(), expected=etag)

    async def release(self, state: JobState) -> None:
        """Frees the kind; a lease that another run took over meanwhile stays."""
        holder, etag = await self.holder(state.kind)
        if holder == state.id:
            await self._state.write(_lease(state.kind), b"{}", expected=etag)

    async def keep_failures(self, state: JobState, failures: Sequence[RowFailure]) -> None:
        """Of the step that the state is at; again is the same."""
        if failures:
            lines = [json.dumps(asdict(failure), ensure_ascii=False) for failure in failures]
            name = f"{failed_rows(state.kind, state.id)}{state.step:06}.jsonl"
            await self._state.write(name, "\n".join(lines).encode("utf-8", "replace"))

    async def ask_to_end(self, state: JobState, now: datetime) -> None:
        """Durable when it returns."""
        body = json.dumps({"at": now.isoformat()}).encode()
        await self._state.write(_request(state.kind, state.id), body)

    async def is_asked_to_end(self, state: JobState) -> bool:
        return await self._state.read(_request(state.kind, state.id)) is not None

    async def runs(self, kind: str) -> list[JobState]:
        """The newest first."""
        found = [await self.load(kind, job_id) for job_id in reversed(await self._ids(kind))]
        return [entry[0] for entry in found if entry is not None]

    async def forget_old(self, kind: str) -> None:
        for job_id in (await self._ids(kind))[:-_KEPT]:
            rows = [name async for name in self._state.names(failed_rows(kind, job_id))]
            for name in (*rows, _request(kind, job_id)):
                await self._state.delete(name)
            await self._state.delete(_name(kind, job_id))

    async def _ids(self, kind: str) -> list[str]:
        """Oldest first: an id begins with the time."""
        prefix = f"jobs/{kind}/"
        names = [name async for name in self._state.names(prefix)]
        ids = [name.removeprefix(prefix).removesuffix(".json") for name in names]
        return sorted(job_id for job_id in ids if job_id != "current")


def _name(kind: str, job_id: str) -> str:
    return f"jobs/{kind}/{job_id}.json"


def failed_rows(kind: str, job_id: str) -> str:
    """Begins the names of the documents with the rows that a run could not deliver."""
    return f"failed-rows/{kind}/{job_id}/"


def _request(kind: str, job_id: str) -> str:
    return f"cancel/{kind}/{job_id}.json"


def _lease(kind: str) -> str:
    return f"jobs/{kind}/current.json"
