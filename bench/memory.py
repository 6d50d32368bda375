"""The largest resident memory of another process while something runs."""

from __future__ import annotations

import threading
from typing import Self

import psutil

EVERY = 0.05  # seconds between two looks


class PeakMemory:
    """`with PeakMemory(pid) as peak: …`, then `peak.megabytes` (of 2**20 bytes).

    Looks from a thread, so that it also looks while this process is busy. It ends with the process.
    """

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def megabytes(self) -> float:
        return self._peak / 2**20

    def _watch(self) -> None:
        try:
            while True:
                self._peak = max(self._peak, self._process.memory_info().rss)
                if self._over.wait(EVERY):
                    return
        except psutil.NoSuchProcess:
            return


def cpu_seconds(pid: int) -> float:
    """What the process has used so far, in its own code and in the kernel."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)
