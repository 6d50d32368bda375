"""Starts the transfer of the payment status to Salesforce (schedule: SYNC_PAYMENTS_SCHEDULE, UTC).

It also sends the messages of stranded jobs again. A schedule that was missed needs no catching up: each
run reads what is open now and what was settled since the last confirmed run.
"""

from __future__ import annotations

import logging

import azure.functions as func

from integration.errors import ConfigurationError
from integration.telemetry import log_event
from integration.wiring import get_app

bp = func.Blueprint()
_KIND = "payments"


@bp.function_name("sync_payments")
@bp.timer_trigger(arg_name="timer", schedule="%SYNC_PAYMENTS_SCHEDULE%")
async def sync_payments(timer: func.TimerRequest) -> None:
    try:
        app = await get_app()
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        return
    await app.jobs.re_arm()
    if app.settings.app.flow_payments == "off":
        log_event("the payment status is switched off (FLOW_PAYMENTS)")
    elif await app.jobs.start(_KIND, {}) is None:
        log_event("the payment status is still being transferred, this run is left out")
