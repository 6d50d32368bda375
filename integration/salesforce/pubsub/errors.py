"""What a failed call of the Pub/Sub API means (Salesforce contract 6.4).

The code that counts is in the trailer `error-code`; gRPC's own status says less.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import grpc

from integration.errors import (
    AuthenticationFailed,
    CallContext,
    IntegrationError,
    Misconfigured,
    Throttled,
    Unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_PREFIX = "sfdc.platform.eventbus.grpc."
_EXPIRED = ("replayid.validation.failed", "replayid.corrupted")
_SIGN_IN = ("service.auth.error", "service.auth.refresh.invalid")
_TOO_MANY = ("concurrent.client.limit.exceeded", "limit.exceeded")
_NO_TOPIC = ("topic.notfound",)
_DENIED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)


class ReplayExpired(IntegrationError):
    """The stored position is older than what Salesforce keeps, or unknown: events in between are lost.

    Never answered with LATEST, which would hide the loss: the records of the gap are read instead.
    """

    reason = "replay-expired"


def call_error(error: grpc.aio.AioRpcError, operation: str) -> IntegrationError:
    """The app's error. `reason` is the last part of Salesforce's own code."""
    trailers = _trailers(error)
    code = trailers.get("error-code", "").removeprefix(_PREFIX)
    status = error.code()
    context = CallContext(operation, request_id=trailers.get("rpc-id"))
    text = f"{operation}: {code or status.name} {error.details() or ''}".strip()
    if code.endswith(_EXPIRED):
        return ReplayExpired(text, system="salesforce", context=context)
    if code.endswith(_SIGN_IN) or status is grpc.StatusCode.UNAUTHENTICATED:
        return AuthenticationFailed(
            text, reason="INVALID_SESSION_ID", system="salesforce", context=context
        )
    if code.endswith(_TOO_MANY) or status is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return Throttled(text, reason="pubsub-limit", system="salesforce", context=context)
    if code.endswith(_NO_TOPIC) or status in _DENIED:
        return Misconfigured(
            f"{text}; select the object under Setup > Change Data Capture, and give the integration"
            " user the right to see it",
            reason="channel",
            system="salesforce",
            context=context,
        )
    if status is grpc.StatusCode.INVALID_ARGUMENT and "replay" in text.lower():
        return ReplayExpired(text, system="salesforce", context=context)
    return Unreachable(
        text, reason=code or status.name.lower(), system="salesforce", context=context
    )


def _trailers(error: grpc.aio.AioRpcError) -> Mapping[str, str]:
    return {
        str(key): value if isinstance(value, str) else value.decode("latin-1")
        for key, value in error.trailing_metadata() or ()
    }
