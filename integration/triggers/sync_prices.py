"""Starts the transfer of products and prices to Salesforce (schedule: SYNC_PRICES_SCHEDULE, UTC).

It also sends the messages of stranded jobs again. A schedule that was missed needs no catching up: each
run compares everything with what was last pushed.
"""

from __future__ import annotations

import logging

import azure.functions as func

from integration.errors import ConfigurationError
from integration.flows.pricebook_writer import PRICES
from integration.telemetry import log_event
from integration.wiring import get_app

bp = func.Blueprint()


@bp.function_name("sync_prices")
@bp.timer_trigger(arg_name="timer", schedule="%SYNC_PRICES_SCHEDULE%")
async def sync_prices(timer: func.TimerRequest) -> None:
    try:
        app = await get_app()
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        return
    await app.jobs.re_arm()
    if app.settings.app.flow_prices == "off":
        log_event("prices are switched off (FLOW_PRICES)")
    elif await app.jobs.start(PRICES, {}) is None:
        log_event("prices are still being transferred, this run is left out")
