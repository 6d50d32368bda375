"""The table `[prices]` of the mapping file: which F&O prices fill which Salesforce price book.

The standard price book holds the prices for all customers. Each `[prices.books."Name"]` fills one more
book from a price group, a customer, or the prices for all of another company.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator

STANDARD = "standard"  # the standard price book in rules and keys, whatever it is called in the org


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _without_bar(value: object) -> object:
    if isinstance(value, str) and "|" in value:
        raise ValueError("a name with | cannot be part of a key; rename the price book")
    return value


Company = Annotated[str, BeforeValidator(_lower), Field(pattern=r"^[A-Za-z0-9]{1,4}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
ODataField = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,79}$")]
# Part of a key of 120 characters; the bar separates its parts.
BookName = Annotated[str, BeforeValidator(_without_bar), Field(min_length=1, max_length=80)]
Id20 = Annotated[str, Field(min_length=1, max_length=20)]


class PriceBook(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    group: Id20 | None = Field(
        default=None, description="price group of its customers; without it the prices for all"
    )
    customer: Id20 | None = Field(
        default=None, description="customer whose own prices come first, before the group's"
    )
    currencies: tuple[Currency, ...] = Field(
        default=(), description="currencies; without them every one that has a price"
    )
    company: Company | None = Field(default=None, description="company; otherwise that of `prices`")
    site: Id20 | None = Field(default=None, description="prices of this site count, and come first")
    warehouse: Id20 | None = Field(default=None, description="the same for a warehouse")


class Prices(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    company: Company | None = Field(
        default=None, description="company of products and prices; otherwise D365_COMPANY"
    )
    currencies: tuple[Currency, ...] = Field(
        default=(), description="of the standard price book; without them every one with a price"
    )
    base_currencies: dict[Company, Currency] = Field(
        default={},
        description="company → currency of its items' base price; without it no base price is taken",
    )
    time_zone: str = Field(default="UTC", description="where the day of a price begins and ends")
    decimals: int = Field(default=2, ge=0, le=4, description="places of a price, rounded half up")
    inactive: dict[ODataField, tuple[str, ...]] = Field(
        default={},
        description="ReleasedProductsV2 field → values that make a product inactive in Salesforce",
    )
    sales_stop: bool = Field(
        default=False,
        description="items stopped for sales (ProductDefaultOrderSettings) are inactive too",
    )
    product_fields: dict[ODataField, ODataField] = Field(
        default={}, description="further Product2 field → ReleasedProductsV2 field, as text"
    )
    books: dict[BookName, PriceBook] = Field(
        default={}, description="name of a Salesforce price book → its rule, see below"
    )

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        _zone(name)
        return name

    @field_validator("product_fields")
    @classmethod
    def _free_fields(cls, fields: dict[str, str]) -> dict[str, str]:
        taken = {"d365_item_number__c", "name", "productcode", "isactive", "id"}
        clash = sorted(name for name in fields if name.lower() in taken)
        if clash:
            raise ValueError(f"{', '.join(clash)}: set by the app; delete it")
        return fields

    @field_validator("books")
    @classmethod
    def _not_standard(cls, books: dict[str, PriceBook]) -> dict[str, PriceBook]:
        folded = [name.strip().casefold() for name in books]
        if STANDARD in folded:
            raise ValueError("the standard price book takes its keys from [prices]; delete it")
        if len(set(folded)) < len(folded):
            raise ValueError("two names differ only in case or blanks; keep one")
        return books

    def today(self, now: datetime) -> date:
        return now.astimezone(_zone(self.time_zone)).date()


def _zone(name: str) -> tzinfo:
    """Raises ValueError. UTC needs no time-zone data on the machine."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone such as Europe/Berlin") from None
