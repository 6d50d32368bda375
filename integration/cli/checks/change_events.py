"""Whether the channels of change events may be followed, asked without following them.

`GetTopic` of the Pub/Sub API delivers no event, so that it costs nothing of the daily allowance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.cli.checks.check import Check, failed, ok
from integration.cli.problems import problem_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.errors import IntegrationError
    from integration.salesforce.auth import Token

_SECONDS = 10.0
_SELECT = (
    "select the object under Setup > Change Data Capture and let the integration user read it, or set"
    " CATCH_UP=false"
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
                rows.append(failed("change events", problem.description, _step(problem)))
                if problem.reason != "channel":  # nothing of this channel alone
                    return rows
                continue
            if not answer.can_subscribe:
                text = f"{topic} may not be followed by this user"
                rows.append(failed("change events", text, _SELECT))
    return rows or [ok("change events", f"{len(topics)} channels may be followed")]


def _step(error: IntegrationError) -> str:
    return _SELECT if error.reason == "channel" else problem_of(error).step
