"""Who the app is in Azure: its managed identity there; elsewhere the person of `az login`.

azure-identity's own asyncio classes need aiohttp; a token is fetched once an hour, so a thread serves.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

_CLI_SECONDS = 30  # `az` is slow to start
_REFRESH_EARLY = 300  # seconds before a token ends
_STORAGE = "https://storage.azure.com/.default"


def credential(client_id: str | None) -> TokenCredential:
    """`client_id` names a user-assigned identity; a person's own sign-in needs none.

    App Service announces its identity endpoint in the environment; nothing else does.
    """
    from azure import identity

    if os.environ.get("IDENTITY_ENDPOINT") or os.environ.get("MSI_ENDPOINT"):
        return identity.ManagedIdentityCredential(client_id=client_id)
    return identity.AzureCliCredential(process_timeout=_CLI_SECONDS)


def signed_in_as(client_id: str | None) -> str | None:
    """The account's name, or the id of an application; None where nobody is signed in. Blocks."""
    import jwt
    from azure.core.exceptions import AzureError

    try:
        token = credential(client_id).get_token(_STORAGE).token
        claims = jwt.decode(token, options={"verify_signature": False})
    except (AzureError, jwt.PyJWTError):
        return None
    names = (claims.get(name) for name in ("upn", "preferred_username", "unique_name", "appid"))
    return next((str(name) for name in names if name), None)


class AzureIdentity:
    """The same for the asyncio Service Bus SDK, without a second HTTP stack.

    Tokens are kept: every link of the SDK asks for one, and `az` is a process of its own each time.
    """

    def __init__(self, client_id: str | None) -> None:
        self._credential = credential(client_id)
        self._tokens: dict[tuple[str, ...], AccessToken] = {}
        self._lock = asyncio.Lock()

    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        async with self._lock:
            token = self._tokens.get(scopes)
            if token is None or token.expires_on - time.time() < _REFRESH_EARLY:
                token = await asyncio.to_thread(self._credential.get_token, *scopes, **options)
                self._tokens[scopes] = token
            return token

    async def close(self) -> None:
        close = getattr(self._credential, "close", None)
        if close is not None:
            await asyncio.to_thread(close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
