"""Opens the connections to Azure and to both systems, lazily and with nothing but settings."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from azure.servicebus.aio import ServiceBusClient
    from azure.storage.blob import ContainerClient

    from integration.settings import AzureSettings


def service_bus(settings: AzureSettings, **options: Any) -> ServiceBusClient:
    """`options` are the SDK's own, such as `retry_total`."""
    from azure.servicebus.aio import ServiceBusClient

    if settings.service_bus:
        with _connection_string("ServiceBus"):
            return ServiceBusClient.from_connection_string(
                settings.service_bus.get_secret_value(), **options
            )
    from integration.identity import AzureIdentity

    return ServiceBusClient(
        settings.service_bus_namespace or "",
        AzureIdentity(settings.service_bus_client_id),
        **options,
    )


def state_container(settings: AzureSettings) -> ContainerClient:
    from azure.storage.blob import ContainerClient, ExponentialRetry

    # The SDK's own waits (15 s and more) would outlast a batch.
    patience: dict[str, Any] = {
        "connection_timeout": 5,
        "read_timeout": 15,
        "retry_policy": ExponentialRetry(initial_backoff=1, increment_base=2, retry_total=2),
    }
    if settings.storage:
        with _connection_string("AzureWebJobsStorage"):
            return ContainerClient.from_connection_string(
                settings.storage.get_secret_value(), settings.state_container, **patience
            )
    from integration.identity import credential

    return ContainerClient(
        f"https://{settings.storage_account}.blob.core.windows.net",
        settings.state_container,
        credential=credential(settings.storage_client_id),
        **patience,
    )


@contextmanager
def _connection_string(setting: str) -> Iterator[None]:
    """The SDKs raise ValueError for what they cannot read; its text may quote the key."""
    from integration.errors import ConfigurationError

    try:
        yield
    except ValueError:
        raise ConfigurationError([f"{setting}: is not a connection string"]) from None
