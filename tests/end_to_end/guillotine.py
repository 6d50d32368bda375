"""Ends the app's process right before or right after its n-th call to Salesforce, F&O or Entra."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from sandbox.web import cut_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.web import App, Receive, Scope, Send
    from tests.end_to_end.world import World

Moment = Literal["before", "after"]


class Guillotine:
    """Wraps the stand-ins. `before`: the call arrived but was not executed; `after`: it was executed, and
    the answer never arrived. `calls` are the calls since `arm` that hold its `part`, the last one that of
    the kill."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._number = 0
        self._moment: Moment = "after"
        self._part = ""
        self._fell = asyncio.Event()
        self.calls: list[str] = []
        for tap in (world.salesforce, world.d365, world.entra):
            tap._app = self._wrapped(tap._app)

    def arm(self, number: int, moment: Moment = "after", part: str = "") -> None:
        self._number, self._moment, self._part = number, moment, part
        self._fell.clear()
        self.calls.clear()

    def disarm(self) -> None:
        self._number = 0

    async def falls(self, timeout: float = 20) -> None:
        """Returns when the app is dead."""
        async with asyncio.timeout(timeout):
            await self._fell.wait()

    async def outlived(self, is_over: Callable[[], bool]) -> list[str]:
        """Waits for the kill or until `is_over`; a killed app is started again and does the rest.

        The calls up to the kill; none where the app made fewer.
        """
        await self._world.until(lambda: self.is_due or is_over(), 20)
        if self.is_due:
            await self.falls()
        calls = list(self.calls) if self.fell else []
        self.disarm()
        if calls:
            await self._world.sandbox.start_app()
        await self._world.settled()
        return calls

    @property
    def is_due(self) -> bool:
        """The call of the kill was made."""
        return 0 < self._number <= len(self.calls)

    @property
    def fell(self) -> bool:
        return self._fell.is_set()

    def _wrapped(self, app: App) -> App:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"].startswith("/sandbox/") or self.fell:
                await app(scope, receive, send)
                return
            call = f"{scope['method']} {scope['path']}"
            if self._part not in call:
                await app(scope, receive, send)
                return
            self.calls.append(call)
            if len(self.calls) != self._number:
                await app(scope, receive, send)
                return
            if self._moment == "after":
                await app(scope, receive, _swallow)
            await self._world.sandbox.kill_app()
            self._fell.set()
            await cut_connection(send)

        return serve


async def _swallow(_: Any) -> None: ...
