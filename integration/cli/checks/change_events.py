"""Whether the channels of change events may be followed, asked without following them.

`GetTopic` of the Pub/Sub API delivers no event, so that it costs nothing of the daily allowance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.cli.checks.check import Check, failed, ok
from integration.cli.problems import problem_of
from integration.errors import Unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from grpc.aio import AioRpcError

    from integration.errors import IntegrationError
    from integration.salesforce.auth import Token

_SECONDS = 10.0
_SELECT = (
    "select the object under Setup > Change Data Capture and let the integration user read it, or set"
    " CATCH_UP=false"
)
_TRUST = (
    "name the certificates that this machine trusts in GRPC_DEFAULT_SSL_ROOTS_FILE_PATH, or check who"
    " answers at CATCH_UP_ENDPOINT"
)


async def check_channels(endpoint: str, token: Token, topics: Sequence[str]) -> list[Check]:
    import grpc

    from integration.salesforce.pubsub import pubsub_api_pb2 as api
    from integration.salesforce.pubsub.errors import call_error

    metadata = (
        ("accesstoken", token.value),
        ("instanceurl", token.instance_url),
        ("tenantid", token.org_id or ""),
    )
    rows: list[Check] = []
    async with grpc.aio.secure_channel(endpoint, grpc.ssl_channel_credentials()) as channel:
        ask: Any = channel.unary_unary(
            "/eventbus.v1.PubSub/GetTopic",
            request_serializer=api.TopicRequest.SerializeToString,
            response_deserializer=api.TopicInfo.FromString,
        )
        for topic in topics:
            try:
                request = api.TopicRequest(topic_name=topic)
                answer = await ask(request, metadata=metadata, timeout=_SECONDS)
            except grpc.aio.AioRpcError as error:
                problem = call_error(error, f"GetTopic {topic}")
                if problem.reason != "channel":  # nothing of this channel alone
                    return [*rows, _troubled(endpoint, problem, error)]
                rows.append(failed("change events", problem.description, _SELECT))
                continue
            if not answer.can_subscribe:
                text = f"{topic} may not be followed by this user"
                rows.append(failed("change events", text, _SELECT))
    return rows or [ok("change events", f"{len(topics)} channels may be followed")]


def _troubled(endpoint: str, problem: IntegrationError, error: AioRpcError) -> Check:
    """The library's own words on a lost connection are a page long."""
    if not isinstance(problem, Unreachable):
        return failed("change events", problem.description, problem_of(problem).step)
    if "CERTIFICATE_VERIFY_FAILED" in (error.details() or ""):
        text = f"the certificate of {endpoint} is not trusted here"
        return failed("change events", text, _TRUST)
    text = f"{endpoint} cannot be reached ({error.code().name})"
    return failed("change events", text, "check CATCH_UP_ENDPOINT and the network")
