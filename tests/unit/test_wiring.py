"""The composition root: one App per process, checked before anything is opened, closed as a whole."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

import integration.wiring
from integration.errors import ConfigurationError
from integration.settings import AzureSettings, Settings
from integration.wiring import build_app, get_app
from tests.unit.account_support import settings_of

BUS = "Endpoint=sb://127.0.0.1:1;SharedAccessKeyName=n;SharedAccessKey=hush;UseDevelopmentEmulator=true;"


def complete(
    service_bus: str = BUS, storage: str = "UseDevelopmentStorage=true", **app: str
) -> Settings:
    azure = AzureSettings(ServiceBus=service_bus, AzureWebJobsStorage=storage)  # type: ignore[arg-type]
    return settings_of(**app).model_copy(update={"azure": azure})


@pytest.fixture
def no_app() -> Iterator[None]:
    before = integration.wiring._app
    integration.wiring._app = None
    yield
    integration.wiring._app = before


async def test_an_app_is_built_without_a_connection_and_closed_without_a_trace() -> None:
    app = await build_app(complete())
    assert ("salesforce", "Account") in app.objects
    await app.close()
    del app
    gc.collect()  # an unclosed socket would be a warning, and so a failure


async def test_the_switches_of_the_flows_reach_the_dispatcher() -> None:
    app = await build_app(complete(FLOW_ACCOUNTS="dry"))
    try:
        assert app.dispatcher._by_name["accounts"].switch == "dry"
    finally:
        await app.close()


async def test_concurrent_first_calls_build_one_app(
    no_app: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SALESFORCE_AUTH": "client_credentials",
        "SALESFORCE_CLIENT_ID": "c",
        "SALESFORCE_CLIENT_SECRET": "s",
        "D365_BASE_URL": "https://d365.test",
        "D365_COMPANY": "usmf",
        "ORDERS_SINCE": "2025-01-01",
        "ServiceBus": BUS,
        "AzureWebJobsStorage": "UseDevelopmentStorage=true",
    }.items():
        monkeypatch.setenv(name, value)
    apps = await asyncio.gather(*(get_app() for _ in range(5)))
    assert len({id(app) for app in apps}) == 1
    await apps[0].close()


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"service_bus": "hush"}, "ServiceBus"),
        ({"service_bus": "Endpoint=sb://x;SharedAccessKey=hush"}, "ServiceBus"),
        ({"storage": "hush"}, "AzureWebJobsStorage"),
        ({"storage": "AccountKey=hush"}, "AzureWebJobsStorage"),
        ({"MAPPING_FILE": "/not/there.toml"}, "MAPPING_FILE"),
    ],
)
async def test_what_no_client_can_use_is_a_named_configuration_problem(
    changes: dict[str, str], named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await build_app(complete(**changes))
    assert caught.value.problems[0].startswith(f"{named}: ")
    assert "hush" not in str(caught.value)


async def test_a_mapping_file_is_checked_before_anything_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "mapping.toml"
    file.write_text("[companies\n")
    with pytest.raises(ConfigurationError):
        await build_app(complete(MAPPING_FILE=str(file)))
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="MAPPING_FILE"):
        await build_app(complete(MAPPING_FILE=str(file)))
