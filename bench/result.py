"""One line of the benchmark table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`promise` is a count or a ratio of the same run, never seconds; empty where nothing is promised."""

    what: str
    app: str
    naive: str = "–"
    promise: str = ""
    kept: bool = True

    @property
    def verdict(self) -> str:
        if not self.promise:
            return ""
        return "yes" if self.kept else "NO"
