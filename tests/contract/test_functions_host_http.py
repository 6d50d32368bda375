"""HTTP triggers, keys and admin endpoints of the Functions host."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.contract.functions_apps.host_process import APPS, HostProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = "no secret of mine"


@pytest.fixture(scope="module")
def host() -> Iterator[HostProcess]:
    with HostProcess(APPS / "http", {"GREETING": "hello"}) as running:
        yield running


def test_ready_line_names_the_functions_and_nothing_else_is_on_stdout(host: HostProcess) -> None:
    assert {"item", "keyed", "nightly"} <= set(host.ready["functions"])
    assert any("printed while the app is imported" in line for line in host.stderr)


def test_request_reaches_the_function_as_in_azure(host: HostProcess) -> None:
    answer = host.client.post(
        "/api/ITEMS/A%2F1%20b?x=1&x=2&empty=",
        content=b"the body",
        headers={"X-Trace": "t", "traceparent": f"00-{'a' * 32}-{'b' * 16}-01"},
    )
    assert answer.status_code == 201
    assert answer.headers["content-type"] == "application/json"
    seen = answer.json()
    assert seen["item_number"] == "A%2F1 b"
    assert seen["method"] == "POST"
    assert seen["url"].endswith("/api/ITEMS/A%2F1%20b?x=1&x=2&empty=")
    assert seen["params"] == {"x": "1,2"}
    assert seen["trace_header"] == "t"
    assert "x-trace" in seen["header_names"]
    assert seen["body"] == "the body"
    assert seen["function"] == "item"
    assert seen["trace_parent"] == f"00-{'a' * 32}-{'b' * 16}-01"


def test_chunked_body_without_content_length_arrives_empty(host: HostProcess) -> None:
    answer = host.client.post("/api/items/1", content=iter([b"part 1", b"part 2"]))
    assert answer.json()["body"] == ""


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/items/special", 200, "the literal route"),
        ("GET", "/api/files/a/b/c.txt", 200, "a/b/c.txt"),
        ("GET", "/api/pages/12", 200, "12"),
        ("GET", "/api/pages/twelve", 404, ""),
        ("DELETE", "/api/items/1", 404, ""),
        ("HEAD", "/api/items/1", 404, ""),
        ("GET", "/api/items", 404, ""),
        ("GET", "/api/unknown", 404, ""),
        ("GET", "/items/1", 404, ""),
        ("GET", "/", 200, ""),
        ("GET", "/api/setting", 200, "hello"),
    ],
)
def test_routing(host: HostProcess, method: str, path: str, status: int, body: str) -> None:
    answer = host.client.request(method, path)
    assert (answer.status_code, answer.text) == (status, body)


@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/api/keyed", None, 401),
        ("/api/keyed", "wrong", 401),
        ("/api/keyed", "function-key", 200),
        ("/api/keyed", "master-key", 200),
        ("/api/masters", "function-key", 401),
        ("/api/masters", "master-key", 200),
        ("/admin/host/status", None, 401),
        ("/admin/host/status", "function-key", 401),
        ("/admin/host/status", "master-key", 200),
        ("/admin/nothing", "master-key", 404),
    ],
)
def test_keys_in_header_or_query(
    host: HostProcess, path: str, key: str | None, status: int
) -> None:
    headers = {"x-functions-key": key} if key else {}
    assert host.client.get(path, headers=headers).status_code == status
    params = {"code": key} if key else {}
    assert host.client.get(path, params=params).status_code == status


@pytest.mark.parametrize("path", ["/api/boom", "/api/wrong"])
def test_failing_function_is_an_empty_500_and_one_log_line(host: HostProcess, path: str) -> None:
    answer = host.client.get(path)
    assert (answer.status_code, answer.content) == (500, b"")
    name = path.rsplit("/", 1)[1]
    host.client.get("/api/setting")
    lines = [line for line in host.stderr if f"{name} failed (invocation" in line]
    assert len(lines) == 1
    assert not any("Traceback" in line for line in host.stderr)


def test_requests_run_concurrently(host: HostProcess) -> None:
    # The function waits for 20 callers at a barrier.
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: host.client.get("/api/meet").text, range(20)))
    assert answers == ["met"] * 20


def test_every_cookie_is_sent(host: HostProcess) -> None:
    answer = host.client.get("/api/cookies")
    assert answer.headers.get_list("set-cookie") == ["a=1; HttpOnly; Path=/", "b=2"]
    assert answer.headers["x-one"] == "1"
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


def test_status_tells_functions_and_the_one_in_error(host: HostProcess) -> None:
    status = host.status()
    assert status["state"] == "Running"
    assert status["errors"] == {"unresolved": "'%MISSING_SCHEDULE%' does not resolve to a value."}
    key = {"x-functions-key": "master-key"}
    errors = host.client.get("/admin/functions/unresolved/status", headers=key).json()
    assert "MISSING_SCHEDULE" in errors["errors"][0]
    (item,) = [
        f for f in host.client.get("/admin/functions", headers=key).json() if f["name"] == "item"
    ]
    assert item["config"]["bindings"][0]["type"] in {"httpTrigger", "http"}


def test_user_logging_passes_through_with_its_invocation_id(host: HostProcess) -> None:
    host.client.get("/api/setting")
    assert any("INFO app [" in line and "reading a setting" in line for line in host.stderr)
