"""The app as a function gets it that has nobody to answer to: None where the settings are wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from integration.errors import ConfigurationError
from integration.wiring import get_app

if TYPE_CHECKING:
    from integration.wiring import App


async def configured_app() -> App | None:
    """None after every problem of the settings was logged, as one message."""
    try:
        return await get_app()
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        return None
