"""The record of everything that a person does with these commands: who, when, why, what.

`audit/<day>/<time>-<random>.json` in the state container: {"at","who":{"account","user","host"},"command",
"why",…}. Ids and counts, never values of records. Written before the thing is done.
"""

from __future__ import annotations

import asyncio
import getpass
import json
import secrets
import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from integration.wiring import App

PREFIX = "audit/"


async def record(app: App, command: str, why: str = "", **details: Any) -> str:
    """The name of the record. Raises Unreachable: what cannot be recorded is not done."""
    now = datetime.now(UTC)
    name = f"{PREFIX}{now:%Y-%m-%d}/{now:%H%M%S}-{secrets.token_hex(4)}.json"
    body = {
        "at": now.isoformat(timespec="seconds"),
        "who": await asyncio.to_thread(_who, app),
        "command": command,
        "why": why,
        **details,
    }
    await app.state.write(name, json.dumps(body, indent=1, ensure_ascii=False).encode())
    return name


def _who(app: App) -> dict[str, str | None]:
    """The account of the Azure sign-in where one is used, and the user of this computer."""
    from integration.identity import signed_in_as

    azure = app.settings.azure
    account = None if azure.storage else signed_in_as(azure.storage_client_id)
    return {"account": account, "user": _user(), "host": socket.gethostname()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"
