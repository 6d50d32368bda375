"""What a probe sees of the running app, with the host judging the keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.stack import FUNCTION_KEY, WEBHOOK_SECRET

if TYPE_CHECKING:
    import httpx

    from tests.end_to_end.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = {"x-functions-key": FUNCTION_KEY}
CHECKS = {"service_bus", "storage", "salesforce", "d365"}


async def ask(world: World, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    return await world.sandbox.http.get(f"{world.sandbox.app_url}/api/{path}", headers=headers)


async def test_everything_is_tried_for_whoever_has_a_key(world: World) -> None:
    answer = await ask(world, "health/deep", KEY)
    assert answer.status_code == 200, answer.text
    checks = answer.json()["checks"]
    assert checks.keys() == CHECKS
    assert all(check["ok"] and 0 <= check["seconds"] < 10 for check in checks.values())
    assert answer.headers["cache-control"] == "no-store"
    env = world.sandbox.env
    for secret in (WEBHOOK_SECRET, FUNCTION_KEY, env["D365_CLIENT_SECRET"], env["ServiceBus"]):
        assert secret not in answer.text


@pytest.mark.parametrize("headers", [None, {"x-functions-key": "guessed"}])
async def test_nothing_is_told_without_a_valid_key(
    world: World, headers: dict[str, str] | None
) -> None:
    for path in ("health/deep", "health?deep=1"):
        answer = await ask(world, path, headers)
        if answer.is_redirect:
            answer = await ask(world, answer.headers["location"].removeprefix("/api/"), headers)
        assert answer.status_code == 401
        assert "service_bus" not in answer.text


async def test_the_switch_on_health_leads_there_with_its_key(world: World) -> None:
    http, url = world.sandbox.http, world.sandbox.app_url
    for path, headers in (("health?deep=1", KEY), (f"health?deep=1&code={FUNCTION_KEY}", None)):
        answer = await http.get(f"{url}/api/{path}", headers=headers, follow_redirects=True)
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")


async def test_a_storage_that_is_gone_is_named(world: World) -> None:
    await world.sandbox.storage.stop()
    answer = await ask(world, "health/deep", KEY)
    assert (answer.status_code, answer.json()["status"]) == (503, "failing")
    checks = answer.json()["checks"]
    assert [name for name, check in checks.items() if not check["ok"]] == ["storage"]
    assert checks["storage"]["reason"] in ("state-unavailable", "timeout")
    assert (await ask(world, "health")).status_code == 200  # alive all the same
