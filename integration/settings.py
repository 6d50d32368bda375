"""Every tunable of the app in one frozen object, read once from the app settings (= environment variables).

All problems are reported together, each with the name of the app setting. Nothing else in the app reads
the environment. Secrets are `SecretStr` and never printed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from integration.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping


def _split(value: Any) -> Any:
    """`a, b,c` in an app setting is a tuple of three."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _base_url(value: Any) -> Any:
    """F&O accepts a token only for the lower-case host without trailing slash (F&O contract 1.2)."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError("must be a full URL such as https://contoso.operations.dynamics.com")
    return f"{parts.scheme}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def _pem(value: Any) -> Any:
    """App settings are one line; a PEM may arrive with the two characters backslash-n for newlines."""
    return value.replace("\\n", "\n") if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
BaseUrl = Annotated[str, BeforeValidator(_base_url)]
Pem = Annotated[SecretStr, BeforeValidator(_pem)]
Switch = Literal["on", "dry", "off"]


class _Group(BaseSettings):
    """What one setting asks of another is checked where the later one is read, never in a validator of the
    whole group: that would stay silent as long as any other setting is wrong.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)


def _needed(
    value: Any, info: ValidationInfo, needs: Mapping[str, tuple[str, ...]], auth: str
) -> Any:
    """Raises ValueError where the way to sign in, read before, cannot do without this setting."""
    way = str(info.data.get("auth"))
    if not value and info.field_name in needs.get(way, ()):
        raise ValueError(f"is needed with {auth}={way}")
    return value


class _Buckets(_Group):
    buckets: int = Field(16, ge=1, le=512, validation_alias="INTEGRATION_BUCKETS")


class _CallLimit(_Group):
    model_config = SettingsConfigDict(env_prefix="D365_")

    max_concurrent_calls: int = Field(52, ge=1)


class SalesforceSettings(_Group):
    model_config = SettingsConfigDict(env_prefix="SALESFORCE_")

    login_url: BaseUrl = "https://login.salesforce.com"
    auth: Literal["jwt", "client_credentials"] = "jwt"
    client_id: str
    username: str | None = None
    private_key: Pem | None = None
    client_secret: SecretStr | None = None
    audience: str | None = None
    api_version: str = Field("62.0", pattern=r"^\d{2,3}\.0$")
    client_name: str = "d365-integration"
    org_ids: Names = ()
    customer_number_field: str = "D365_Customer_Number__c"
    collection_size: int = Field(200, ge=1, le=200)
    call_timeout: float = Field(120, gt=0, description="seconds for one call")
    budget_floor: float = Field(
        0.1, ge=0, lt=1, description="share of the daily calls kept for urgent work"
    )

    @field_validator("org_ids")
    @classmethod
    def _organisations(cls, ids: tuple[str, ...]) -> tuple[str, ...]:
        for number, given in enumerate(ids, start=1):
            if not (given.isascii() and given.isalnum() and len(given) in (15, 18)):
                raise ValueError(f"entry {number} is not an id of 15 or 18 letters and digits")
        return ids

    @field_validator("username", "private_key", "client_secret")
    @classmethod
    def _credentials(cls, value: Any, info: ValidationInfo) -> Any:
        needs = {"jwt": ("username", "private_key"), "client_credentials": ("client_secret",)}
        return _needed(value, info, needs, "SALESFORCE_AUTH")

    @property
    def token_audience(self) -> str:
        """Salesforce checks `aud` against the login host of the org's kind (Salesforce contract 1.2)."""
        if self.audience:
            return self.audience
        host = urlsplit(self.login_url).netloc
        sandbox = host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com")
        return "https://test.salesforce.com" if sandbox else "https://login.salesforce.com"


class D365Settings(_CallLimit):
    base_url: BaseUrl
    auth: Literal["secret", "certificate", "managed_identity"] = "managed_identity"
    tenant_id: str | None = None
    authority: BaseUrl = "https://login.microsoftonline.com"
    client_id: str | None = None
    client_secret: SecretStr | None = None
    certificate: Pem | None = None
    company: str = Field(description="default legal entity", min_length=1, max_length=4)
    salesforce_id_field: str = "SalesforceAccountId"
    use_etag: bool = True
    filter_terms: int = Field(
        20, ge=1, description="comparisons in one $filter; how many F&O accepts is not published"
    )
    batch_size: int = Field(100, ge=1, le=5000)
    call_timeout: float = Field(120, gt=0, description="seconds for one call")
    throttle_fallback: float = Field(
        10, gt=0, description="seconds to wait when a 429 names no Retry-After"
    )
    throttle_cap: float = Field(180, gt=0, description="longest wait taken from Retry-After, s")

    @field_validator("tenant_id", "client_id", "client_secret", "certificate")
    @classmethod
    def _credentials(cls, value: Any, info: ValidationInfo) -> Any:
        needs = {
            "secret": ("tenant_id", "client_id", "client_secret"),
            "certificate": ("tenant_id", "client_id", "certificate"),
        }
        return _needed(value, info, needs, "D365_AUTH")


class WebhookSettings(_Group):
    model_config = SettingsConfigDict(env_prefix="WEBHOOK_")

    secrets: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        BeforeValidator(_split),
        Field(validation_alias=AliasChoices("WEBHOOK_SECRETS", "WEBHOOK_SECRET")),
    ] = Field((), description="one or, during rotation, two HMAC keys")
    static_secret: SecretStr | None = Field(None, description="for Flow callouts; off when empty")
    client_thumbprints: Names = ()
    max_bytes: int = Field(1_000_000, ge=1_000)
    clock_skew: float = Field(300, gt=0, description="seconds a signed timestamp may differ")


class AzureSettings(_Group):
    """Connections in the form the Functions host reads them too (Azure contract 1.9)."""

    service_bus: SecretStr | None = Field(None, validation_alias="ServiceBus")
    service_bus_namespace: str | None = Field(
        None, validation_alias="ServiceBus__fullyQualifiedNamespace"
    )
    service_bus_client_id: str | None = Field(None, validation_alias="ServiceBus__clientId")
    storage: SecretStr | None = Field(None, validation_alias="AzureWebJobsStorage")
    storage_account: str | None = Field(None, validation_alias="AzureWebJobsStorage__accountName")
    storage_client_id: str | None = Field(None, validation_alias="AzureWebJobsStorage__clientId")
    state_container: str = Field("integration-state", validation_alias="STATE_CONTAINER")

    @field_validator("service_bus_namespace", "storage_account")
    @classmethod
    def _connections(cls, value: str | None, info: ValidationInfo) -> str | None:
        connection, setting = {
            "service_bus_namespace": ("service_bus", "ServiceBus"),
            "storage_account": ("storage", "AzureWebJobsStorage"),
        }[str(info.field_name)]
        if not value and not info.data.get(connection):
            raise ValueError(f"set this or the connection string {setting}")
        return value


class RetrySettings(_Group):
    model_config = SettingsConfigDict(env_prefix="RETRY_")

    attempts: int = Field(4, ge=1, description="deliveries of one hint: the first and 3 repeats")
    base_delay: float = Field(30, gt=0, description="seconds before the second delivery, doubled")
    max_delay: float = Field(900, gt=0, description="longest wait between deliveries, s")
    max_age_hours: float = Field(72, gt=0, description="only this ends waiting for a system")
    calls: int = Field(3, ge=1, description="tries of one call inside a batch's deadline")
    call_delay: float = Field(1, gt=0, description="seconds before the second try of a call")

    @property
    def max_age(self) -> timedelta:
        return timedelta(hours=self.max_age_hours)


class AppSettings(_Buckets):
    batch_window_ms: int = Field(50, ge=0, le=1000, validation_alias="BATCH_WINDOW_MS")
    batch_seconds: float = Field(60, gt=0, validation_alias="BATCH_SECONDS")
    batch_size: int = Field(
        100,
        ge=1,
        le=1000,
        validation_alias="BATCH_SIZE",
        description="most records handled together; more save calls, fewer save time",
    )
    flow_accounts: Switch = Field("on", validation_alias="FLOW_ACCOUNTS")
    customer_creation: Literal["on", "off", "after-match"] = Field(
        "on", validation_alias="CUSTOMER_CREATION"
    )
    customer_numbering: Literal["sequence", "salesforce-id"] = Field(
        "sequence", validation_alias="CUSTOMER_NUMBERING"
    )
    create_quarantine_minutes: float = Field(15, ge=0, validation_alias="CREATE_QUARANTINE_MINUTES")
    mapping_file: str | None = Field(None, validation_alias="MAPPING_FILE")
    stock_cache: float = Field(
        5,
        ge=0,
        le=300,
        validation_alias="STOCK_CACHE_SECONDS",
        description="seconds a stock level read from F&O answers further questions",
    )
    stock_timeout: float = Field(
        8,
        ge=2,
        le=200,
        validation_alias="STOCK_TIMEOUT_SECONDS",
        description="seconds a stock check may take; Salesforce gives up after 10",
    )
    stock_max_items: int = Field(
        100,
        ge=1,
        le=1000,
        validation_alias="STOCK_MAX_ITEMS",
        description="most item numbers in one stock check",
    )

    @property
    def create_quarantine(self) -> timedelta:
        return timedelta(minutes=self.create_quarantine_minutes)


class Settings(BaseModel, frozen=True):
    app: AppSettings
    salesforce: SalesforceSettings
    d365: D365Settings
    webhook: WebhookSettings
    azure: AzureSettings
    retry: RetrySettings


class _Concurrency(_Buckets, _CallLimit):
    """Two settings of different groups, read apart so that their fit is checked whatever else is wrong."""

    model_config = SettingsConfigDict(env_prefix="D365_")

    @model_validator(mode="after")
    def _fits(self) -> _Concurrency:
        """One F&O call at a time per bucket must stay under the concurrency budget (design, idea 3)."""
        if self.buckets > self.max_concurrent_calls:
            raise ValueError(
                f"INTEGRATION_BUCKETS={self.buckets} makes as many F&O calls at once,"
                f" above D365_MAX_CONCURRENT_CALLS={self.max_concurrent_calls};"
                " lower the buckets (only while the queue is empty) or raise the limit"
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


def _read(group: Any, problems: list[str]) -> _Group | None:
    if not (isinstance(group, type) and issubclass(group, _Group)):
        raise TypeError(f"{group} is not a group of settings")
    try:
        return group()
    except ValidationError as error:
        problems += _readable(group, error)
        return None


def _readable(group: type[BaseModel], error: ValidationError) -> list[str]:
    return [
        f"{_setting_name(group, item['loc'])}{item['msg'].removeprefix('Value error, ')}"
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
