"""Starts reconciliation (schedule: RECONCILE_SCHEDULE, UTC). On demand: `python -m integration reconcile`.

A run that was missed needs no catching up: the next one goes on from the last watermark.
"""

from __future__ import annotations

import logging

import azure.functions as func

from integration.errors import ConfigurationError
from integration.flows.reconciliation import RECONCILE
from integration.telemetry import log_event
from integration.wiring import get_app

bp = func.Blueprint()


@bp.function_name("reconcile")
@bp.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
async def reconcile(timer: func.TimerRequest) -> None:
    try:
        app = await get_app()
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        return
    await app.jobs.re_arm()
    if await app.jobs.start(RECONCILE, {}) is None:
        log_event("a reconciliation still runs, this one is left out")
