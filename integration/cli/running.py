"""The app's own clients and flows for the time of one command."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from integration.mapping.customisation import Customisation
    from integration.settings import Settings
    from integration.wiring import App


@asynccontextmanager
async def running_app() -> AsyncIterator[App]:
    """Raises ConfigurationError with every problem of the settings."""
    from integration.wiring import build_app

    # What matters is printed; the libraries' own warnings would only stand between.
    with _silent("azure", "integration", "grpc"):
        app = await build_app()
        try:
            yield app
        finally:
            await app.close()


@contextmanager
def _silent(*names: str) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def configured() -> tuple[Settings, Customisation]:
    """For a command that asks nobody. Raises ConfigurationError as `running_app`."""
    from integration.settings import load_settings
    from integration.wiring import read_customisation

    settings = load_settings()
    return settings, read_customisation(settings.app.mapping_file)
