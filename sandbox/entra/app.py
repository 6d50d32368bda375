"""Serves `/{tenant}/oauth2/v2.0/token` (and v1) plus the discovery documents msal reads first.

Use it with azure-identity: `authority=entra.url`, `disable_instance_discovery=True`, and `entra.ca_file`
as REQUESTS_CA_BUNDLE or `connection_verify`. Faults, latency and call counts as in `sandbox.web`.
Sources: F&O contract 1.2 and 1.3.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.entra.certificates import TlsFiles, write_tls_files
from sandbox.entra.credentials import Application, Refused, refusal_answer
from sandbox.entra.tokens import TokenIssuer
from sandbox.web import Control, Server, StandIn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request


class EntraStandIn:
    """One tenant with its app registrations.

    `apps` maps client id to secret. `folder` receives the TLS files; without one a temporary folder is
    used and removed on `stop`. The signing key serves `verify`, which resource stand-ins call.
    """

    def __init__(
        self,
        tenant_id: str,
        apps: Mapping[str, str],
        *,
        port: int = 0,
        folder: Path | None = None,
        token_lifetime: int = 3599,
    ) -> None:
        self.tenant_id = tenant_id
        self.apps = {
            client_id: Application(client_id, {secret}) for client_id, secret in apps.items()
        }
        self.issuer = TokenIssuer(tenant_id)
        self.token_lifetime = token_lifetime
        self.control = Control()
        self._port = port
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._tls: TlsFiles | None = None
        self._server: Server | None = None
        token = self._token
        self.app = StandIn(
            Starlette(
                routes=[
                    Route("/{tenant}/oauth2/v2.0/token", token, methods=["POST"]),
                    Route("/{tenant}/oauth2/token", token, methods=["POST"]),
                    Route("/{tenant}/v2.0/.well-known/openid-configuration", self._configuration),
                    Route("/{tenant}/.well-known/openid-configuration", self._configuration),
                    Route("/{tenant}/discovery/v2.0/keys", self._keys),
                    Route("/common/discovery/instance", self._instance),
                    Route("/sandbox/settings", self._settings, methods=["GET", "PUT"]),
                ]
            ),
            self.control,
        )

    @property
    def tls(self) -> TlsFiles:
        """The files of its certificate, which other local servers may use as well."""
        if self._tls is None:
            raise RuntimeError("the stand-in is not started")
        return self._tls

    @property
    def ca_file(self) -> str:
        """PEM file a client must trust; exists while the stand-in runs."""
        if self._tls is None:
            raise RuntimeError("the Entra stand-in is not started")
        return self._tls.ca_file

    @property
    def client_id(self) -> str:
        return next(iter(self.apps))

    @property
    def client_secret(self) -> str:
        return next(iter(self.apps[self.client_id].secrets))

    @property
    def url(self) -> str:
        """The authority, such as `https://localhost:8443`."""
        if self._server is None:
            raise RuntimeError("the Entra stand-in is not started")
        return self._server.url

    def register_certificate(self, client_id: str, certificate_pem: bytes) -> None:
        """Lets the app sign in with a client assertion made with this certificate's key."""
        self.apps.setdefault(client_id, Application(client_id)).add_certificate(certificate_pem)

    def issue_token(self, client_id: str, audience: str, **claims: Any) -> str:
        """Mints a token without the endpoint; see `TokenIssuer.issue`."""
        return self.issuer.issue(client_id, audience, **claims)

    def verify(self, token: str) -> dict[str, Any]:
        return self.issuer.verify(token)

    async def start(self) -> None:
        folder = self._folder
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="entra-")
            folder = Path(self._temporary.name)
        self._tls = write_tls_files(folder)
        files = (self._tls.certificate_file, self._tls.key_file)
        self._server = Server(self.app, port=self._port, certificate=files)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _token(self, request: Request) -> JSONResponse:
        version = 2 if "/v2.0/" in request.url.path else 1
        self.control.count(f"POST oauth2/v{version}.0/token")
        form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
        try:
            self._check_tenant(request)
            audience = _audience(form, version)
            client_id = form.get("client_id", "")
            application = self.apps.get(client_id)
            if application is None:
                text = (
                    f"Application with identifier '{client_id}' was not found in the directory "
                    f"'{self.tenant_id}'."
                )
                raise Refused(400, "unauthorized_client", 700016, text)
            base = str(request.base_url) + self.tenant_id
            application.authenticate(form, {f"{base}/oauth2/v2.0/token", f"{base}/oauth2/token"})
        except Refused as refusal:
            return refusal_answer(refusal)
        token = self.issuer.issue(client_id, audience, lifetime=self.token_lifetime)
        lifetime = self.token_lifetime
        if version == 2:
            body: dict[str, Any] = {
                "token_type": "Bearer",
                "expires_in": lifetime,
                "ext_expires_in": lifetime,
                "access_token": token,
            }
        else:
            now = int(time.time())
            body = {
                "token_type": "Bearer",
                "expires_in": str(lifetime),
                "ext_expires_in": str(lifetime),
                "expires_on": str(now + lifetime),
                "not_before": str(now - 5),
                "resource": audience,
                "access_token": token,
            }
        return JSONResponse(body, headers={"cache-control": "no-store, no-cache"})

    def _check_tenant(self, request: Request) -> None:
        tenant = request.path_params["tenant"]
        if tenant.lower() != self.tenant_id.lower():
            raise Refused(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")

    async def _configuration(self, request: Request) -> JSONResponse:
        try:
            self._check_tenant(request)
        except Refused as refusal:
            return refusal_answer(refusal)
        base = str(request.base_url) + self.tenant_id
        return JSONResponse(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
                "id_token_signing_alg_values_supported": ["RS256"],
                "subject_types_supported": ["pairwise"],
                "response_types_supported": ["code"],
            }
        )

    async def _keys(self, request: Request) -> JSONResponse:
        return JSONResponse(self.issuer.key_set())

    async def _instance(self, request: Request) -> JSONResponse:
        host = request.url.netloc
        base = str(request.base_url) + self.tenant_id
        return JSONResponse(
            {
                "tenant_discovery_endpoint": f"{base}/v2.0/.well-known/openid-configuration",
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                ],
            }
        )

    async def _settings(self, request: Request) -> JSONResponse:
        """PUT {"token_lifetime": seconds, "expired_apps": [client ids whose secret has expired]}."""
        if request.method == "PUT":
            given = await request.json()
            self.token_lifetime = int(given.get("token_lifetime", self.token_lifetime))
            for application in self.apps.values() if "expired_apps" in given else ():
                known = application.secrets | application.expired_secrets
                expired = application.client_id in given["expired_apps"]
                application.secrets = set() if expired else known
                application.expired_secrets = known if expired else set()
        expired_apps = [app.client_id for app in self.apps.values() if app.expired_secrets]
        return JSONResponse({"token_lifetime": self.token_lifetime, "expired_apps": expired_apps})


def _audience(form: Mapping[str, str], version: int) -> str:
    """The resource of the request: v2 names it in a `/.default` scope, v1 in `resource`."""
    if form.get("grant_type") != "client_credentials":
        text = f"The app requested an unsupported grant type '{form.get('grant_type', '')}'."
        raise Refused(400, "unsupported_grant_type", 70003, text)
    if version == 1:
        resource = form.get("resource", "")
        if not resource:
            text = "The request body must contain the following parameter: 'resource'."
            raise Refused(400, "invalid_request", 900144, text)
        return resource
    # msal adds the OpenID scopes in some flows; the resource is the one scope that is a URL
    scopes = [scope for scope in form.get("scope", "").split() if ":" in scope]
    if len(scopes) != 1 or not scopes[0].endswith("/.default"):
        text = (
            f"The provided value for scope {form.get('scope', '')} is not valid. Client credential"
            " flows must have a scope value with /.default suffixed to the resource identifier."
        )
        raise Refused(400, "invalid_scope", 1002012, text)
    return scopes[0].removesuffix("/.default")
