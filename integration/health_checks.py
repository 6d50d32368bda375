"""Whether everything the app works with answers now: Service Bus, its state, and the sign-in at both systems.

Nothing is received or written, and no call of either system's allowance is used: a token that is still valid
counts. What went wrong is named by its reason alone, because the texts of libraries may quote keys.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.deadline import deadline
from integration.errors import IntegrationError
from integration.telemetry import log_event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from integration.wiring import App

LIMIT = 10.0  # seconds for each check
_NO_SUCH_DOCUMENT = "health"


@dataclass(frozen=True, slots=True)
class Finding:
    """`reason` is empty where all is well."""

    seconds: float
    reason: str = ""


async def look(app: App, *, limit: float = LIMIT) -> dict[str, Finding]:
    """All checks at the same time, by name; never raises for what they find."""
    checks: dict[str, Callable[[], Awaitable[object]]] = {
        "service_bus": lambda: _peek(app),
        "storage": lambda: app.state.read(_NO_SUCH_DOCUMENT),
        "salesforce": app.salesforce.tokens.current,
        "d365": app.d365.tokens.token,
    }
    found = await asyncio.gather(*(_timed(name, work, limit) for name, work in checks.items()))
    return dict(zip(checks, found, strict=True))


async def _timed(name: str, work: Callable[[], Awaitable[object]], limit: float) -> Finding:
    started, reason = time.perf_counter(), ""
    try:
        with deadline(limit):
            async with asyncio.timeout(limit):
                await work()
    except TimeoutError:
        reason = "timeout"
    except Exception as error:
        reason = error.reason if isinstance(error, IntegrationError) else type(error).__name__
    if reason:
        log_event("health check failed", level=logging.WARNING, system=name, reason=reason)
    return Finding(round(time.perf_counter() - started, 3), reason)


async def _peek(app: App) -> None:
    """Over a connection of its own: that of the process may be broken while the broker is well.

    `jobs` is a queue that the app may read (docs/security.md).
    """
    from integration.connections import service_bus
    from integration.messaging.service_bus import JOBS

    async with (
        service_bus(app.settings.azure, retry_total=0) as client,
        client.get_queue_receiver(JOBS) as receiver,
    ):
        await receiver.peek_messages(1)
