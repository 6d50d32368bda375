"""The app's own clients and flows for the time of one command."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.wiring import App


@asynccontextmanager
async def running_app() -> AsyncIterator[App]:
    """Raises ConfigurationError with every problem of the settings."""
    from integration.wiring import build_app

    # What matters is printed; the libraries' own warnings would only stand between.
    logging.getLogger("azure").setLevel(logging.ERROR)
    app = await build_app()
    try:
        yield app
    finally:
        await app.close()
