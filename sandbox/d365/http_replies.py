"""From a reply of the stand-in to an HTTP answer."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from starlette.responses import Response

from sandbox.web import Receive, Scope, Send, cut_connection

if TYPE_CHECKING:
    from sandbox.d365.messages import Reply


class ConnectionCut(Response):
    """Ends the connection without an answer."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await cut_connection(send)


def http_response(reply: Reply, started: float) -> Response:
    """Adds what every F&O answer carries (contract 2.8, 4.5): activity id, timing, affinity cookie."""
    headers = {
        "odata-version": "4.0",
        "ms-dyn-aid": str(uuid.uuid4()),
        "server-timing": f"dur={(time.perf_counter() - started) * 1000:.1f}",
        "set-cookie": f"ApplicationGatewayAffinity={uuid.uuid4().hex}; Path=/",
        **reply.headers,
    }
    return Response(reply.body, reply.status, headers)
