"""What a queue is told when it is made, and how it says no."""

from dataclasses import dataclass
from datetime import timedelta

NOT_FOUND = "amqp:not-found"
NOT_ALLOWED = "amqp:not-allowed"
NOT_IMPLEMENTED = "amqp:not-implemented"
DECODE_ERROR = "amqp:decode-error"
MESSAGE_TOO_LARGE = "amqp:link:message-size-exceeded"
ENTITY_DISABLED = "com.microsoft:entity-disabled"
SERVER_BUSY = "com.microsoft:server-busy"
MESSAGE_LOCK_LOST = "com.microsoft:message-lock-lost"
SESSION_LOCK_LOST = "com.microsoft:session-lock-lost"
SESSION_CANNOT_BE_LOCKED = "com.microsoft:session-cannot-be-locked"
MESSAGE_NOT_FOUND = "com.microsoft:message-not-found"
ARGUMENT_ERROR = "com.microsoft:argument-error"
TIMEOUT = "com.microsoft:timeout"

STANDARD_TIER_MESSAGE_SIZE = 256 * 1024


class QueueError(Exception):
    """A refusal; `condition` is the AMQP error condition that the SDK maps to its exception."""

    def __init__(self, condition: str, description: str) -> None:
        super().__init__(f"{condition}: {description}")
        self.condition = condition
        self.description = description


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """Names and defaults as in Azure (`lockDuration`, `maxDeliveryCount`, ...).

    `max_delivery_count` None never dead-letters for attempts, as in a dead-letter sub-queue.
    `max_message_size` is in bytes of the encoded message.
    """

    name: str
    lock_duration: timedelta = timedelta(seconds=60)
    max_delivery_count: int | None = 10
    requires_session: bool = False
    duplicate_detection_window: timedelta | None = None
    default_ttl: timedelta | None = None
    forward_dead_letters_to: str | None = None
    dead_letter_on_expiration: bool = False
    max_message_size: int = STANDARD_TIER_MESSAGE_SIZE
