"""The one function that writes to the two systems: brings the record of each hint in step.

Cardinality one, sessions, binary body: the host renews the locks, every message is settled on its own, and
no JSON member can overwrite the metadata (Functions contract D). The concurrent calls of this function
meet in the batcher.
"""

from __future__ import annotations

import azure.functions as func

from integration.messaging.hints import bucket_of
from integration.messaging.service_bus import CHANGES
from integration.putting_back import put_back
from integration.triggers.configured import configured_app

bp = func.Blueprint()


@bp.function_name("converge_changes")
@bp.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name=CHANGES,
    data_type="binary",
    is_sessions_enabled=True,
    cardinality="one",
)
async def converge_changes(message: func.ServiceBusMessage) -> None:
    body = message.get_body()
    message_id = message.message_id or ""
    app = await configured_app()
    if app is None:
        await put_back(body, message.session_id or bucket_of(message_id, 1))
        return
    session = message.session_id or bucket_of(message_id, app.settings.app.buckets)
    await app.dispatcher.handle(body, session=session, message_id=message_id)
    app.journal.handled(message_id)
