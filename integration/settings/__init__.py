"""Every tunable of the app in one frozen object, read once from the app settings (= environment variables).

All problems are reported together, each with the name of the app setting. Nothing else in the app reads
the environment. Secrets are `SecretStr` and never printed.
"""

from integration.settings.app import AppSettings, RetrySettings
from integration.settings.base import Switch
from integration.settings.catch_up import CatchUpSettings, WatchSettings
from integration.settings.connections import (
    AzureSettings,
    D365Settings,
    SalesforceSettings,
    WebhookSettings,
)
from integration.settings.flows import OrderSettings, PaymentSettings, ReconcileSettings
from integration.settings.gone import GoneSettings
from integration.settings.loading import Settings, load_settings
from integration.settings.volume import VolumeSettings

__all__ = [
    "AppSettings",
    "AzureSettings",
    "CatchUpSettings",
    "D365Settings",
    "GoneSettings",
    "OrderSettings",
    "PaymentSettings",
    "ReconcileSettings",
    "RetrySettings",
    "SalesforceSettings",
    "Settings",
    "Switch",
    "VolumeSettings",
    "WatchSettings",
    "WebhookSettings",
    "load_settings",
]
