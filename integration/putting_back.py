"""Keeps messages while the app cannot be built: only the settings of Azure are needed for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integration.messaging.service_bus import Queues
    from integration.settings import AzureSettings

_UNCONFIGURED_WAIT = 60.0  # seconds
_spare: Queues | None = None


async def put_back(body: bytes, session: str | None) -> None:
    """Schedules a message again while the settings are wrong.

    Left to the broker it would be delivered ten times within seconds and be a dead letter. Without a
    session it is an event of F&O, with one a hint. Raises ConfigurationError where even the settings of
    Azure are wrong, Unreachable as `Queues` does.
    """
    from uuid import uuid4

    from integration.errors import ConfigurationError
    from integration.settings import AzureSettings, RetrySettings

    try:
        queues = _spare_queues(AzureSettings.model_validate({}))
    except ValueError:
        raise ConfigurationError(["ServiceBus: the connection is not set"]) from None
    try:
        delay = min(_UNCONFIGURED_WAIT, RetrySettings.model_validate({}).max_delay)
    except ValueError:
        delay = _UNCONFIGURED_WAIT
    message_id = str(uuid4())
    if session is None:
        await queues.put_back_event(body, message_id=message_id, delay=delay)
    else:
        await queues.schedule_raw(body, session=session, message_id=message_id, delay=delay)


def _spare_queues(settings: AzureSettings) -> Queues:
    global _spare
    if _spare is None:
        from integration.connections import service_bus
        from integration.messaging.service_bus import Queues

        _spare = Queues(service_bus(settings), buckets=1)  # the session is given with each message
    return _spare
