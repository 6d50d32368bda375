"""How many writes one `$batch` may hold so that F&O ends it in time, learned from the calls before."""

from __future__ import annotations

from integration.deadline import call_timeout

_LONGEST_CALL = 30.0  # seconds a $batch may be predicted to take (design, idea 3)
_SHORTEST_WRITE = 0.01  # seconds


class WritePace:
    """One per writer. `most`: writes that F&O takes in one call."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._seconds_per_write = 0.1

    @property
    def size(self) -> int:
        """Writes of the next call, one at least."""
        return max(1, min(self._most, int(_LONGEST_CALL / self._seconds_per_write)))

    def begin(self, writes: int) -> None:
        """Raises DeadlineReached where the batch that runs has not so much time left."""
        needed = min(_LONGEST_CALL, writes * self._seconds_per_write)
        call_timeout(_LONGEST_CALL, needed=needed)

    def learn(self, writes: int, seconds: float) -> None:
        """A call with so many writes took so long."""
        average = (self._seconds_per_write + seconds / writes) / 2
        self._seconds_per_write = max(_SHORTEST_WRITE, average)
