"""Every tunable of the app in one frozen object, read once from the app settings (= environment variables).

All problems are reported together, each with the name of the app setting. Nothing else in the app reads
the environment. Secrets are `SecretStr` and never printed.
"""

from __future__ import annotations

from datetime import (
    date,
    timedelta,
)
from decimal import Decimal
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


def _pairs(value: Any) -> Any:
    """`Each=ea, Box=box` in an app setting is a table."""
    if not isinstance(value, str):
        return value
    parts = [part.partition("=") for part in value.split(",") if part.strip()]
    if not all(sign and name.strip() and result.strip() for name, sign, result in parts):
        raise ValueError("must be pairs such as Each=ea,Box=box")
    return {name.strip(): result.strip() for name, _, result in parts}


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
Pairs = Annotated[dict[str, str], NoDecode, BeforeValidator(_pairs)]
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
    contact_number_field: str = Field(
        "D365_Contact_Number__c", description="Contact field for the contact person's number"
    )
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
    salesforce_contact_id_field: str = Field(
        "SalesforceContactId", description="custom field of ContactPersons for the Contact's id"
    )
    price_events: Names = Field(
        (),
        description="business events, or virtual tables of data events, after which prices are sent",
    )
    customer_events: Names = Field(
        (), description="own business events that name a customer (CustomerAccount, LegalEntity)"
    )
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
    flow_contacts: Switch = Field("on", validation_alias="FLOW_CONTACTS")
    flow_orders: Switch = Field("on", validation_alias="FLOW_ORDERS")
    flow_invoices: Switch = Field(
        "on", validation_alias="FLOW_INVOICES", description="posted invoices to Salesforce"
    )
    flow_customers: Switch = Field(
        "on",
        validation_alias="FLOW_CUSTOMERS",
        description="what F&O owns of a customer to its account",
    )
    customers_without_account: Literal["ignore", "link", "create"] = Field(
        "ignore",
        validation_alias="CUSTOMERS_WITHOUT_ACCOUNT",
        description="a customer without Salesforce id: ignore it, link the account that matches it by"
        " rule, or create an account where none matches",
    )
    customer_creation: Literal["on", "off", "after-match"] = Field(
        "on", validation_alias="CUSTOMER_CREATION"
    )
    customer_numbering: Literal["sequence", "salesforce-id"] = Field(
        "sequence", validation_alias="CUSTOMER_NUMBERING"
    )
    flow_prices: Switch = Field(
        "on", validation_alias="FLOW_PRICES", description="products and prices to Salesforce"
    )
    prices_full_refresh_days: float = Field(
        7,
        ge=0,
        validation_alias="PRICES_FULL_REFRESH_DAYS",
        description="days after which a run compares all prices with Salesforce; 0: every run",
    )
    prices_page: int = Field(
        500,
        ge=1,
        le=5000,
        validation_alias="PRICES_PAGE",
        description="items read from F&O in one step of the prices job",
    )
    prices_rows: int = Field(
        2000,
        ge=1,
        le=2000,
        validation_alias="PRICES_ROWS",
        description="most rows written to Salesforce in one step of the prices job",
    )
    flow_payments: Switch = Field(
        "on", validation_alias="FLOW_PAYMENTS", description="payment status to Salesforce"
    )
    job_step_seconds: float = Field(
        60,
        ge=5,
        le=300,
        validation_alias="JOB_STEP_SECONDS",
        description="seconds one step of a job may take",
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


_FIELD = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
_FIELD_OR_NONE = r"^(none|[A-Za-z][A-Za-z0-9_]{0,79})$"


class OrderSettings(_Group):
    """How won opportunities become sales orders. Field names are API names; `none` sends nothing."""

    model_config = SettingsConfigDict(env_prefix="ORDER_")

    since: date = Field(
        validation_alias="ORDERS_SINCE",
        description="day of the cut-over, YYYY-MM-DD: opportunities won before it are skipped",
    )
    won_date_field: str = Field(
        "CloseDate", pattern=_FIELD, description="Opportunity field that says when it was won"
    )
    numbering: Literal["sequence", "opportunity-id"] = Field(
        "sequence", description="opportunity-id needs a number sequence that allows manual numbers"
    )
    id_field: str = Field(
        "SalesforceOpportunityId",
        pattern=_FIELD,
        description="field of SalesOrderHeadersV2 for the opportunity's id (numbering sequence);"
        " CustomersOrderReference where there is no custom field",
    )
    line_id_field: str = Field(
        "SalesforceLineId",
        pattern=_FIELD,
        description="field of SalesOrderLines for the line item's id; ExternalItemNumber where"
        " there is no custom field",
    )
    quantity_decimals: int = Field(
        2, ge=0, le=8, description="quantities are rounded half up to so many decimals"
    )
    amount_tolerance: Decimal = Field(
        Decimal("0.05"),
        ge=0,
        description="difference of an amount that is still equal, in the order's currency",
    )
    date_field: str = Field(
        "CloseDate", pattern=_FIELD_OR_NONE, description="Opportunity field for the requested dates"
    )
    line_date_field: str = Field(
        "ServiceDate", pattern=_FIELD_OR_NONE, description="the same of the line item, where filled"
    )
    delivery_address: Literal["none", "account-shipping"] = Field(
        "none", description="none leaves the customer's own address"
    )
    po_number_field: str = Field(
        "none",
        pattern=_FIELD_OR_NONE,
        description="Opportunity field with the customer's PO number",
    )
    prices_include_tax: Literal["customer", "yes", "no"] = Field(
        "customer", description="customer leaves it to F&O"
    )
    unit_field: str = Field(
        "none",
        pattern=_FIELD_OR_NONE,
        description="Product2 field with the unit; none leaves the item's own sales unit",
    )
    units: Pairs = Field({}, description="value of that field = F&O unit, e.g. Each=ea,Box=box")
    site: str | None = Field(None, max_length=10, description="default site of the order's lines")
    warehouse: str | None = Field(None, max_length=10, description="default warehouse")


class PaymentSettings(_Group):
    """How the payment status is compared."""

    model_config = SettingsConfigDict(env_prefix="PAYMENTS_")

    page: int = Field(
        5000, ge=10, le=10_000, description="transactions read from F&O in one step of the job"
    )
    rows: int = Field(
        2000, ge=1, le=5000, description="changed rows written to Salesforce in one step"
    )
    overlap_days: int = Field(
        3,
        ge=0,
        le=60,
        description="days before the last confirmed run whose settlements are read again",
    )
    paid_days: int = Field(
        90, ge=1, le=400, description="days whose payments count for the paid amount of an account"
    )
    full_hour: int = Field(
        2,
        ge=0,
        le=23,
        description="the first run of a day after this hour (UTC) compares everything",
    )
    currencies: Pairs = Field(
        {},
        description="company = its accounting currency, e.g. usmf=USD,demf=EUR; named beside the amounts",
    )


class ReconcileSettings(_Group):
    """Reconciliation. Its schedule is the app setting RECONCILE_SCHEDULE, an NCRONTAB text in UTC."""

    model_config = SettingsConfigDict(env_prefix="RECONCILE_")

    window_hours: float = Field(
        48, gt=0, description="how far back the first run looks; later ones go on from the last"
    )
    overlap_minutes: float = Field(
        60, ge=0, description="a run looks this far behind the last one, because rows appear late"
    )
    invoice_days: int = Field(
        35, ge=0, description="invoices dated up to so many days before the window are compared too"
    )
    page: int = Field(200, ge=1, le=1000, description="records compared in one step")
    sweep: int = Field(
        5000, ge=1, description="customers of F&O compared in one run, which take turns"
    )
    settle_seconds: float = Field(
        300, ge=0, description="wait before the repaired records are compared once more"
    )


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
