"""The app's own clients and flows for the time of one command."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from integration.mapping.customisation import Customisation
    from integration.settings import Settings
    from integration.wiring import App


@asynccontextmanager
async def running_app() -> AsyncIterator[App]:
    """Raises ConfigurationError with every problem of the settings."""
    from integration.wiring import build_app

    app = await build_app()
    try:
        yield app
    finally:
        await app.close()


def configured() -> tuple[Settings, Customisation]:
    """For a command that asks nobody. Raises ConfigurationError as `running_app`."""
    from integration.settings import load_settings
    from integration.wiring import read_customisation

    settings = load_settings()
    return settings, read_customisation(settings.app.mapping_file)
