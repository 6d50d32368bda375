"""The engine, the switches of the flows, and repeats."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from integration.settings.base import Buckets, Group, StockLimit, Switch

SHORTEST_STEP = 7  # seconds: those of a write (d365.transport), and what reads before it take


class AppSettings(Buckets, StockLimit):
    batch_window_ms: int = Field(
        50,
        ge=0,
        le=1000,
        validation_alias="BATCH_WINDOW_MS",
        description="ms for which hints are collected into a batch; in a burst up to four times as long",
    )
    batch_seconds: float = Field(
        60, gt=0, validation_alias="BATCH_SECONDS", description="deadline of a batch, s"
    )
    batch_size: int = Field(
        100,
        ge=1,
        le=1000,
        validation_alias="BATCH_SIZE",
        description="most records handled together; more save calls, fewer save time",
    )
    flow_accounts: Switch = Field(
        "on", validation_alias="FLOW_ACCOUNTS", description="accounts to customers: on, dry or off"
    )
    flow_contacts: Switch = Field(
        "on", validation_alias="FLOW_CONTACTS", description="contacts to contact persons"
    )
    flow_orders: Switch = Field(
        "on", validation_alias="FLOW_ORDERS", description="won opportunities to sales orders"
    )
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
        "on",
        validation_alias="CUSTOMER_CREATION",
        description="off only updates; after-match creates what `match accounts` approved",
    )
    customer_numbering: Literal["sequence", "salesforce-id"] = Field(
        "sequence",
        validation_alias="CUSTOMER_NUMBERING",
        description="salesforce-id needs a number sequence that allows manual numbers",
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
    prices_rows: int = Field(
        2000,
        ge=1,
        le=2000,
        validation_alias="PRICES_ROWS",
        description="most product and price rows compared and written together where they are too few"
        " for Bulk API 2.0",
    )
    flow_payments: Switch = Field(
        "on", validation_alias="FLOW_PAYMENTS", description="payment status to Salesforce"
    )
    job_step_seconds: float = Field(
        60,
        le=300,
        validation_alias="JOB_STEP_SECONDS",
        description="seconds one step of a job may take, at least 7",
    )
    create_quarantine_minutes: float = Field(
        15,
        ge=0,
        validation_alias="CREATE_QUARANTINE_MINUTES",
        description="how long a create without an answer may still be running",
    )
    mapping_file: str | None = Field(
        None, validation_alias="MAPPING_FILE", description="path of the tenant's TOML file"
    )
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

    @field_validator("job_step_seconds")
    @classmethod
    def _leaves_time_for_a_write(cls, value: float) -> float:
        if value < SHORTEST_STEP:
            raise ValueError(
                f"must be at least {SHORTEST_STEP}: a write to F&O is only begun with 5 s left, so a shorter"
                " step would never come to one"
            )
        return value

    @property
    def create_quarantine(self) -> timedelta:
        return timedelta(minutes=self.create_quarantine_minutes)


class RetrySettings(Group):
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
