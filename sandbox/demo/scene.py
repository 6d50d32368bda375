"""The base of the scenes: each drives one flow by its real trigger and says afterwards what is wrong."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from sandbox.demo.logbook import Tally

if TYPE_CHECKING:
    from sandbox.demo.stage import Stage


class Scene(ABC):
    """`flows`: names in the log whose records count. Jobs and questions log no records; their scenes fill
    `own` instead."""

    title: ClassVar[str]
    trigger: ClassVar[str]
    flows: ClassVar[tuple[str, ...]] = ()

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.own = Tally()
        self.tally = Tally()
        self.calls = {"salesforce": 0, "d365": 0}
        self.seconds = 0.0
        self.broken: str | None = None
        self.wrong: list[str] = []

    @abstractmethod
    async def run(self) -> None:
        """Drives the flow to its end; the queues are settled when it returns."""

    @abstractmethod
    async def problems(self) -> list[str]:
        """What is not as it should be; called when all scenes are over."""

    async def play(self) -> None:
        """Runs and measures it. A scene that breaks off does not keep the others from running."""
        sandbox = self.stage.sandbox
        systems = {"salesforce": sandbox.salesforce, "d365": sandbox.d365}
        for system in systems.values():
            system.control.calls.clear()
        since, started = self.stage.log.mark(), time.monotonic()
        try:
            await self.run()
        except TimeoutError:
            self.broken = f"did not come to rest: {sandbox.broker.counts()}"
        except Exception as error:
            self.broken = f"broke off: {type(error).__name__}: {error}"
        self.seconds = time.monotonic() - started
        self.calls = {name: system.control.calls.total() for name, system in systems.items()}
        self.tally = self.stage.log.tally(self.flows, since)
        self.tally.add(self.own)

    async def verify(self) -> None:
        if self.broken:
            self.wrong.append(self.broken)
        try:
            self.wrong += await self.problems()
        except (LookupError, ValueError, RuntimeError) as error:  # a scene that broke off half-way
            self.wrong.append(f"cannot be checked: {type(error).__name__}: {error}")

    def counted(self, **wanted: int) -> list[str]:
        """What the row of this scene should say."""
        return [
            f"{name} is {getattr(self.tally, name)}, should be {count}"
            for name, count in wanted.items()
            if getattr(self.tally, name) != count
        ]
