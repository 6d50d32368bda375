"""A person's own sign-in: `az` is asked once, however many links `doctor` opens."""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING

from integration.identity import AzureIdentity

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

SCOPE = "https://servicebus.azure.net/.default"


async def test_az_is_started_once_for_all_links(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = {
        "accessToken": "token",
        "expires_on": int(time.time()) + 3600,
        "tenant": "t",
        "tokenType": "Bearer",
    }
    az = tmp_path / "az"
    az.write_text(f"#!/bin/sh\necho started >> '{tmp_path}/log'\necho '{json.dumps(answer)}'\n")
    az.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("IDENTITY_ENDPOINT", "MSI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    async with AzureIdentity(None) as identity:
        tokens = await asyncio.gather(*(identity.get_token(SCOPE) for _ in range(10)))
    assert {token.token for token in tokens} == {"token"}
    assert (tmp_path / "log").read_text().splitlines() == ["started"]
