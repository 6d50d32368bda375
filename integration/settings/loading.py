"""All settings in one frozen object, and every mistake in one error."""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, BaseModel, Field, ValidationError, model_validator
from pydantic_settings import SettingsConfigDict

from integration.errors import ConfigurationError
from integration.settings.app import AppSettings, RetrySettings
from integration.settings.base import Buckets, CallLimit, Group, StockLimit
from integration.settings.catch_up import CatchUpSettings, WatchSettings
from integration.settings.connections import (
    AzureSettings,
    D365Settings,
    SalesforceSettings,
    WebhookSettings,
)
from integration.settings.flows import OrderSettings, PaymentSettings, ReconcileSettings
from integration.settings.gone import GoneSettings
from integration.settings.volume import VolumeSettings


class Settings(BaseModel, frozen=True):
    app: AppSettings
    salesforce: SalesforceSettings
    d365: D365Settings
    webhook: WebhookSettings
    azure: AzureSettings
    retry: RetrySettings
    orders: OrderSettings
    reconcile: ReconcileSettings = Field(
        default_factory=lambda: ReconcileSettings.model_validate({})
    )
    payments: PaymentSettings = Field(default_factory=lambda: PaymentSettings.model_validate({}))
    catch_up: CatchUpSettings = Field(default_factory=lambda: CatchUpSettings.model_validate({}))
    watch: WatchSettings = Field(default_factory=lambda: WatchSettings.model_validate({}))
    gone: GoneSettings = Field(default_factory=lambda: GoneSettings.model_validate({}))
    volume: VolumeSettings = Field(default_factory=lambda: VolumeSettings.model_validate({}))


_JOBS = 8  # kinds of jobs, each with one step under way at most


class _Concurrency(Buckets, StockLimit, CallLimit):
    """Settings of different groups, read apart so that their fit is checked whatever else is wrong."""

    model_config = SettingsConfigDict(env_prefix="D365_")

    @model_validator(mode="after")
    def _fits(self) -> _Concurrency:
        """All that may call F&O at once must stay under its limit (design, idea 3).

        A batch of a bucket and a step of a job make one call at a time.
        """
        calls = self.buckets + self.stock_calls + _JOBS
        if calls > self.max_concurrent_calls:
            raise ValueError(
                f"INTEGRATION_BUCKETS={self.buckets}, STOCK_MAX_CALLS={self.stock_calls} and {_JOBS}"
                f" jobs make {calls} F&O calls at once, above"
                f" D365_MAX_CONCURRENT_CALLS={self.max_concurrent_calls};"
                " lower the buckets (only while the queue is empty) or the stock checks,"
                " or raise the limit"
            )
        return self


def load_settings() -> Settings:
    """Reads the app settings. Raises ConfigurationError with every problem of every group."""
    problems: list[str] = []
    groups = {
        name: _read(field.annotation, problems) for name, field in Settings.model_fields.items()
    }
    _read(_Concurrency, problems)
    if problems:
        raise ConfigurationError(list(dict.fromkeys(problems)))
    return Settings.model_validate(groups)


def _read(group: Any, problems: list[str]) -> Group | None:
    if not (isinstance(group, type) and issubclass(group, Group)):
        raise TypeError(f"{group} is not a group of settings")
    try:
        return group()
    except ValidationError as error:
        problems += _readable(group, error)
        return None


def _readable(group: type[BaseModel], error: ValidationError) -> list[str]:
    return [
        f"{_setting_name(group, item['loc'])}"
        + ("is not set" if item["type"] == "missing" else item["msg"].removeprefix("Value error, "))
        for item in error.errors(include_input=False, include_url=False)
    ]


def _setting_name(group: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """pydantic names a field by itself when its default is wrong, by its alias when its value is."""
    if not location:
        return ""
    name = str(location[0])
    field = group.model_fields.get(name)
    if field is None:
        return f"{name}: "
    match field.validation_alias:
        case None:
            return f"{group.model_config.get('env_prefix', '')}{name}: ".upper()
        case AliasChoices(choices=[first, *_]):
            return f"{first}: "
        case alias:
            return f"{alias}: "
