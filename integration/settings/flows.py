"""Orders, payments and reconciliation."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from integration.settings.base import Group, Pairs

_FIELD = r"^[A-Za-z][A-Za-z0-9_]{0,79}$"
_FIELD_OR_NONE = r"^(none|[A-Za-z][A-Za-z0-9_]{0,79})$"


class OrderSettings(Group):
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


class PaymentSettings(Group):
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


class ReconcileSettings(Group):
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
