"""What the F&O client's tests share: a scripted F&O behind httpx.MockTransport. Holds no tests."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from integration.d365.client import D365Client
from integration.settings import D365Settings

BASE = "https://contoso.operations.dynamics.com"


def settings(**changes: Any) -> D365Settings:
    return D365Settings(**{"base_url": BASE, "company": "usmf", **changes})


@dataclass
class AccessToken:
    token: str
    expires_on: int


@dataclass
class FakeCredential:
    """Hands out token-1, token-2, …; counts, and can be slow or fail."""

    lifetime: float = 3600
    seconds: float = 0
    errors: list[Exception] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)
    closed: bool = False

    def get_token(self, *scopes: str) -> AccessToken:
        assert threading.current_thread() is not threading.main_thread()
        self.scopes += scopes
        time.sleep(self.seconds)
        if self.errors:
            raise self.errors.pop(0)
        return AccessToken(f"token-{len(self.scopes)}", int(time.time() + self.lifetime))

    def close(self) -> None:
        self.closed = True


Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class FakeServer:
    """Answers in order, the last answer for ever; keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def urls(self) -> list[str]:
        return [request.url.raw_path.decode() for request in self.requests]


@contextmanager
def client_for(server: FakeServer, **changes: Any) -> Iterator[D365Client]:
    options = {"credential": FakeCredential(), "tries": 3, "delay": 0.001}
    options |= {name: changes.pop(name) for name in (*options, "on_call") if name in changes}
    changes = {"throttle_fallback": 0.001, **changes}
    http = httpx.AsyncClient(transport=httpx.MockTransport(server))
    yield D365Client(settings(**changes), http, **options)


def reply(status: int = 200, body: Any = None, **headers: str) -> httpx.Response:
    """An answer as F&O forms it."""
    content = b"" if body is None else json.dumps(body).encode()
    kind = {"content-type": "application/json; odata.metadata=minimal"} if content else {}
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(
        status, content=content, headers={"ms-dyn-aid": "activity-1", **kind, **names}
    )


def odata_error(message: str, kind: str | None = None, deepest: str | None = None) -> Any:
    """The error envelope of F&O contract 2.8."""
    inner: dict[str, Any] = {
        "message": message,
        "type": kind
        or "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException",
        "stacktrace": "   at Microsoft.Dynamics.Platform.Integration.Services.OData.Write()",
    }
    if deepest:
        inner["internalexception"] = {"message": deepest, "type": "X", "stacktrace": ""}
    return {"error": {"code": "", "message": "An error has occurred.", "innererror": inner}}


CUSTOMER = {
    "@odata.context": f"{BASE}/data/$metadata#CustomersV3/$entity",
    "@odata.etag": 'W/"Jzg3NTMyNDcyLDU2MzcxNDYwNzk7MCwwJw=="',
    "dataAreaId": "usmf",
    "CustomerAccount": "US-001",
    "OrganizationName": "Contoso Retail",
    "CreditLimit": 389.45,
    "AddressValidFrom": "1900-01-01T00:00:00Z",
}
