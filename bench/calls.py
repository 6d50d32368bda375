"""What both systems answered in a measurement, and the line of the table about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from bench.result import Row

if TYPE_CHECKING:
    from sandbox.stack import Sandbox


@dataclass(frozen=True)
class Calls:
    salesforce: int
    d365: int

    @classmethod
    def of(cls, sandbox: Sandbox) -> Calls:
        """Since `forget_calls`."""
        return cls(sandbox.salesforce.control.calls.total(), sandbox.d365.control.calls.total())

    @property
    def total(self) -> int:
        return self.salesforce + self.d365

    def times(self, factor: float) -> Calls:
        return Calls(round(self.salesforce * factor), round(self.d365 * factor))

    def row(self, what: str, most: int, *, naive: str = "–") -> Row:
        """`most`: the promise."""
        split = f"{self.total} (Salesforce {self.salesforce}, F&O {self.d365})"
        return Row(what, split, naive, f"≤ {most}", self.total <= most)


def forget_calls(sandbox: Sandbox) -> None:
    sandbox.salesforce.control.calls.clear()
    sandbox.d365.control.calls.clear()


def app_process(sandbox: Sandbox) -> psutil.Process:
    """Raises RuntimeError where the app is not running."""
    if sandbox.app is None:
        raise RuntimeError("the app is not running")
    return psutil.Process(sandbox.app.pid)
