"""The schedules (NCRONTAB in UTC, an app setting each): every one starts a job and returns.

They also send the messages of stranded jobs again. A schedule that was missed needs no catching up: a
run of prices compares everything with what was last pushed, one of payments goes on from its watermark,
and so does reconciliation, which `python -m integration reconcile` starts on demand.
"""

from __future__ import annotations

import azure.functions as func

from integration.jobs.kinds import (
    CATCH_UP,
    LOAD_ACCOUNTS,
    LOAD_CONTACTS,
    PAYMENTS,
    PRICES,
    RECONCILE,
    WATCH,
)
from integration.triggers.configured import configured_app

bp = func.Blueprint()


@bp.function_name("sync_prices")
@bp.timer_trigger(arg_name="timer", schedule="%SYNC_PRICES_SCHEDULE%")
async def sync_prices(timer: func.TimerRequest) -> None:
    await _start(PRICES)


@bp.function_name("sync_payments")
@bp.timer_trigger(arg_name="timer", schedule="%SYNC_PAYMENTS_SCHEDULE%")
async def sync_payments(timer: func.TimerRequest) -> None:
    await _start(PAYMENTS)


@bp.function_name("reconcile")
@bp.timer_trigger(arg_name="timer", schedule="%RECONCILE_SCHEDULE%")
async def reconcile(timer: func.TimerRequest) -> None:
    await _start(RECONCILE)


@bp.function_name("catch_up_salesforce")
@bp.timer_trigger(arg_name="timer", schedule="%CATCH_UP_SCHEDULE%")
async def catch_up_salesforce(timer: func.TimerRequest) -> None:
    await _start(CATCH_UP)


@bp.function_name("watch")
@bp.timer_trigger(arg_name="timer", schedule="%WATCH_SCHEDULE%")
async def watch(timer: func.TimerRequest) -> None:
    await _start(WATCH)


@bp.function_name("send_packages")
@bp.timer_trigger(arg_name="timer", schedule="%SEND_PACKAGES_SCHEDULE%")
async def send_packages(timer: func.TimerRequest) -> None:
    """What changed and was only noted (route `scheduled`) goes now, if there is anything."""
    from integration.flows.loads.dirty import DirtyKeys

    app = await configured_app()
    if app is None:
        return
    for kind, flow in ((LOAD_ACCOUNTS, "accounts"), (LOAD_CONTACTS, "contacts")):
        await app.jobs.re_arm(kind)
        if await DirtyKeys(app.state).any(flow):
            await app.jobs.start(kind, {"dirty": True})


async def _start(kind: str) -> None:
    from integration.telemetry import log_event

    app = await configured_app()
    if app is None:
        return
    await app.jobs.re_arm()
    switches = {
        PRICES: app.settings.app.flow_prices,
        PAYMENTS: app.settings.app.flow_payments,
        CATCH_UP: "on" if app.settings.catch_up.enabled else "off",
    }
    if switches.get(kind) == "off":
        log_event("the job is switched off", kind=kind)
    elif await app.jobs.start(kind, {}) is None:
        log_event("the last run is still under way, this one is left out", kind=kind)
