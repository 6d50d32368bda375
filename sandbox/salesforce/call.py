"""A request to the data API and its answer, as resources see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sandbox.salesforce.errors import ApiError

if TYPE_CHECKING:
    from sandbox.salesforce.changes import Actor


@dataclass
class Quota:
    """API calls, or jobs or batches, of 24 hours; the window does not roll, a test sets the numbers."""

    max: int = 100_000
    used: int = 0

    @property
    def header(self) -> str:
        return f"api-usage={self.used}/{self.max}"


@dataclass
class Call:
    """One request, or one sub-request of a composite one. `segments` are decoded."""

    method: str
    version: str
    segments: list[str]
    query: dict[str, str]
    headers: dict[str, str]
    body: Any
    actor: Actor
    delay_ms: list[float] = field(default_factory=list)
    """Delays that faults of single rows ask for; shared with sub-requests."""
    force_all_or_none: bool = False

    @property
    def base(self) -> str:
        return f"/services/data/{self.version}"

    def json_object(self) -> dict[str, Any]:
        if not isinstance(self.body, dict):
            raise ApiError.plain(
                "JSON_PARSER_ERROR", "The HTTP entity body is required, as an object"
            )
        return self.body


@dataclass
class Answer:
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
