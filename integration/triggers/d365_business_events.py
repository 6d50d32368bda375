"""Takes in what F&O puts on its queue: each event becomes a hint for the record it names.

Cardinality one and a binary body, because the members of a JSON body could overwrite the metadata (Functions
contract D). Only trouble of Service Bus or of the state is raised: the broker delivers again then.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import azure.functions as func

from integration.errors import ContractError
from integration.messaging.service_bus import BUSINESS_EVENTS
from integration.putting_back import put_back
from integration.telemetry import continued, log_event, record_events, trace_parent
from integration.triggers.configured import configured_app
from integration.triggers.tracing import trace_of

if TYPE_CHECKING:
    from integration.d365.events import BusinessEvent
    from integration.wiring import App

bp = func.Blueprint()

SOURCE: Final = "d365"


@bp.function_name("d365_business_events")
@bp.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name=BUSINESS_EVENTS,
    data_type="binary",
    cardinality="one",
)
async def d365_business_events(message: func.ServiceBusMessage, context: func.Context) -> None:
    from integration.d365.events import read_event

    body = message.get_body()
    app = await configured_app()
    if app is None:
        await put_back(body, None)
        return
    names = app.settings.d365
    try:
        event = read_event(
            body, price_events=names.price_events, customer_events=names.customer_events
        )
    except ContractError as error:
        await _keep(app, body, error)
        record_events(SOURCE, "unusable", 1)
        return
    with continued("accept business event", trace_of(context)):
        result = await _accept(app, event)
    record_events(SOURCE, result, 1)


async def _accept(app: App, event: BusinessEvent) -> str:
    """Durable when it returns what became of the event: accepted, ignored or unknown."""
    from integration.messaging.hints import Hint

    now = datetime.now(UTC)
    hints = [
        Hint(
            source=SOURCE,
            object=change.object,
            key=change.key,
            root=change.root,
            company=change.company,
            event_id=event.event_id,
            seen_at=now,
            trace=trace_parent(),
        )
        for change in event.changes
        if (SOURCE, change.object) in app.objects
    ]
    if hints:
        await app.queues.send_hints(hints)
    if event.prices:
        await _send_prices(app)
    result = "accepted" if hints or event.prices else "ignored" if event.is_known else "unknown"
    delay = None if event.at is None else round((now - event.at).total_seconds(), 1)
    log_event(f"business event {result}", event=event.name, event_id=event.event_id, delay=delay)
    return result


async def _send_prices(app: App) -> None:
    """A transfer that is running already is told of by its next run."""
    from integration.jobs.kinds import PRICES

    if app.settings.app.flow_prices != "off":
        await app.jobs.start(PRICES, {})


async def _keep(app: App, body: bytes, error: ContractError) -> None:
    from integration.messaging.dead_letters import DeadLetter

    await app.queues.dead_letter(
        DeadLetter(
            kind="undecodable",
            flow="none",
            reason=error.reason,
            description=error.description,
            system=SOURCE,
            body=body,
        )
    )
