"""The Salesforce stand-in as one object: an org with its API, log-in and push side on a local port."""

from __future__ import annotations

import secrets
import time
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Route

from sandbox.salesforce import (
    composite,
    describe,
    ids,
    locators,
    oauth_routes,
    resources,
    rows,
    sobject_collections,
)
from sandbox.salesforce.api import Api
from sandbox.salesforce.bulk import Bulk
from sandbox.salesforce.bulk.endpoints import Endpoints
from sandbox.salesforce.oauth import PUBLIC_AUDIENCES, Authority, Client
from sandbox.salesforce.org import Org
from sandbox.salesforce.outbound import Outbound
from sandbox.salesforce.pubsub.bus import Bus
from sandbox.salesforce.pubsub.server import PubSubServer
from sandbox.salesforce.sandbox_routes import SandboxRoutes
from sandbox.web import App, Control, Receive, Scope, Send, Server, StandIn

if TYPE_CHECKING:
    from sandbox.entra.certificates import TlsFiles

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]


class SalesforceStandIn:
    """An org on 127.0.0.1.

    `private_key_pem` is the key a client signs JWT assertions with; without one a key is made. The
    integration user's changes are not pushed to subscribers; `clerk_username` may log in as well and
    its changes are.
    """

    username = "integration@sandbox.example"
    clerk_username = "clerk@sandbox.example"

    def __init__(
        self,
        *,
        port: int = 0,
        org_id: str | None = None,
        client_id: str = "sandbox-connected-app",
        client_secret: str | None = None,
        private_key_pem: str | None = None,
        state_country_picklists: bool = False,
        certificate: tuple[str, str] | None = None,
        pubsub_port: int = 0,
    ) -> None:
        self.org_id = ids.normalise(org_id or "00DAa0000000001") or ""
        if not self.org_id.startswith("00D"):
            raise ValueError(f"{org_id!r} is no organization id")
        self.client_id = client_id
        self.client_secret = client_secret or secrets.token_urlsafe(24)
        self.private_key_pem = private_key_pem or new_key()
        self.control = Control()
        self.org = Org(self.org_id, state_country=state_country_picklists)
        client = Client(self.client_id, self.client_secret, _public(self.private_key_pem))
        self.authority = Authority(self.org_id, client, self.org.users.integration)
        self.api = _api(self.org, self.control, self.authority)
        self.bulk = Bulk(self.api)
        Endpoints(self.bulk)
        self.outbound = Outbound(self.org)
        self.bus = Bus(self.org)
        self.pubsub = PubSubServer(self.bus, self.authority, self.org_id, port=pubsub_port)
        self.app: App = StandIn(_without_slash(self._starlette()), self.control)
        self._port, self._certificate = port, certificate
        self._server: Server | None = None

    @property
    def url(self) -> str:
        if self._server is None:
            raise RuntimeError("the stand-in is not started")
        return self._server.url

    def assertion(self, **claims: Any) -> str:
        """A signed JWT of the integration user; `claims` replace or add to its claims."""
        given = {
            "iss": self.client_id,
            "sub": self.username,
            "aud": PUBLIC_AUDIENCES[0],
            "exp": int(time.time()) + 180,
            **claims,
        }
        return jwt.encode(given, _load(self.private_key_pem), algorithm="RS256")

    async def start(self) -> None:
        self._server = Server(self.app, port=self._port, certificate=self._certificate)
        await self._server.start()
        self.outbound.base_url = self._server.url
        await self.outbound.start()

    async def start_pubsub(self, tls: TlsFiles) -> None:
        """The Pub/Sub API speaks TLS only, hence the files."""
        await self.pubsub.start(tls)

    async def stop(self) -> None:
        await self.pubsub.stop()
        await self.bulk.stop()
        await self.outbound.stop()
        if self._server is not None:
            await self._server.stop()
            self._server = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _starlette(self) -> Starlette:
        return Starlette(
            routes=[
                *oauth_routes.routes(self.org, self.authority, self.control),
                Route("/services/data", resources.versions, methods=["GET"]),
                Route("/services/data/{version}", self.api.http, methods=_METHODS),
                Route("/services/data/{version}/{rest:path}", self.api.http, methods=_METHODS),
                *SandboxRoutes(self.api, self.outbound, self.bulk, self.pubsub).routes(),
            ],
            middleware=[Middleware(GZipMiddleware, minimum_size=1024, compresslevel=1)],
        )


def _api(org: Org, control: Control, authority: Authority) -> Api:
    api = Api(org, control, authority, locators.Locators())
    for module in (resources, describe, locators, sobject_collections, composite, rows):
        module.add_routes(api)
    return api


def _without_slash(app: App) -> App:
    """Clients differ in trailing slashes; a key's own slash travels as %2F and is not touched."""

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] == "http" and len(path) > 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/")}
        await app(scope, receive, send)

    return wrapped


def new_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


@cache
def _load(private_key_pem: str) -> rsa.RSAPrivateKey:
    # Loading proves the key's numbers, which takes longer than signing with it.
    key = serialization.load_pem_private_key(private_key_pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("the private key is not an RSA key")
    return key


def _public(private_key_pem: str) -> str:
    return (
        _load(private_key_pem)
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
