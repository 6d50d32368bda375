"""A reconciliation of a part: some sources, from a day on, one company, or only counted.

The params of the job: {"only": [names of sources], "since": time, "company": id, "dry": true}. A run of a
part moves no watermark, because it has not seen the rest, and compares neither the ledger nor the counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Self

from integration.errors import RecordRejected
from integration.flows.reconcile_keys import Window

if TYPE_CHECKING:
    from collections.abc import Collection

    from integration.flows.reconcile_keys import Ref
    from integration.jobs.job import Position

_NAMES = ("only", "since", "company", "dry")


@dataclass(frozen=True, slots=True)
class Scope:
    only: tuple[str, ...] = ()
    since: datetime | None = None
    company: str | None = None
    dry: bool = False

    @classmethod
    def of(cls, position: Position) -> Self:
        given = position.get("scope", {})
        since = given.get("since")
        return cls(
            tuple(given.get("only", ())),
            datetime.fromisoformat(since) if since else None,
            given.get("company"),
            given.get("dry") is True,
        )

    @property
    def is_part(self) -> bool:
        return self != Scope()

    def phases(self, phases: list[str], sources: Collection[str]) -> list[str]:
        """Those of all `phases` that a run of this part goes through."""
        if not self.is_part:
            return phases
        wanted = self.only or tuple(sources)
        tail = phases[-2:]  # the second look, and the end
        return [name for name in phases if name in sources and name in wanted] + tail

    def window(self, started: datetime) -> Window | None:
        return Window(self.since, started) if self.since else None

    def includes(self, ref: Ref) -> bool:
        return self.company is None or ref.company == self.company


def scope_of(params: Position, sources: Collection[str]) -> dict[str, object]:
    """What a position keeps of the params. Raises RecordRejected for a source that there is not."""
    scope = {name: params[name] for name in _NAMES if params.get(name)}
    unknown = sorted(set(params.get("only") or ()) - set(sources))
    if unknown:
        raise RecordRejected(
            f"nothing is compared by the name {', '.join(unknown)}", reason="scope"
        )
    return scope
