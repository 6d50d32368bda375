"""Data packages, Bulk API 2.0, and which route a flow takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field

from integration.settings.base import Group

Route = Literal["realtime", "scheduled"]


class VolumeSettings(Group):
    """How many records travel, and in what."""

    accounts_route: Route = Field(
        "realtime",
        validation_alias="ACCOUNTS_ROUTE",
        description="scheduled collects changed accounts for the timer send_packages",
    )
    contacts_route: Route = Field(
        "realtime", validation_alias="CONTACTS_ROUTE", description="the same for contacts"
    )
    package_threshold: int = Field(
        1000,
        ge=1,
        validation_alias="PACKAGE_THRESHOLD",
        description="accounts or contacts above which a data package is sent instead of OData calls",
    )
    bulk_threshold: int = Field(
        2000,
        ge=1,
        validation_alias="BULK_THRESHOLD",
        description="rows above which Bulk API 2.0 is used instead of sObject Collections",
    )
    export_threshold: int = Field(
        1_000_000,
        ge=1,
        validation_alias="EXPORT_THRESHOLD",
        description="rows above which F&O is read by a data package instead of OData pages",
    )
    d365_page: int = Field(
        10_000,
        ge=100,
        le=10_000,
        validation_alias="D365_PAGE",
        description="rows of one OData page when a whole table is read",
    )
    package_rows: int = Field(
        200_000,
        ge=1,
        validation_alias="PACKAGE_ROWS",
        description="most rows of one data package; a larger load is several, one after another",
    )
    package_project: str = Field(
        "SalesforceIntegration",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9 _-]{0,39}$",
        validation_alias="PACKAGE_PROJECT",
        description="beginning of the names of the data projects",
    )
    package_format: str = Field(
        "CSV-Unicode",
        validation_alias="PACKAGE_FORMAT",
        description="name of the source data format in F&O; it must exist there",
    )
    package_encoding: Literal["utf-8", "utf-16"] = Field(
        "utf-8",
        validation_alias="PACKAGE_ENCODING",
        description="of the data files; it must be the code page of that format",
    )
    package_templates: str | None = Field(
        None,
        validation_alias="PACKAGE_TEMPLATES",
        description="folder with packages exported from the tenant, named like their entity"
        " (Customers V3.zip), whose manifest is taken over",
    )
    package_hours: float = Field(
        6, gt=0, validation_alias="PACKAGE_HOURS", description="after which an import has failed"
    )
    package_poll: float = Field(
        5,
        gt=0,
        validation_alias="PACKAGE_POLL_SECONDS",
        description="first wait before F&O is asked for the state of a package; doubled up to 60 s",
    )
    bulk_hours: float = Field(
        12, gt=0, validation_alias="BULK_HOURS", description="after which a Bulk job has failed"
    )
    bulk_poll: float = Field(
        2,
        gt=0,
        validation_alias="BULK_POLL_SECONDS",
        description="first wait before Salesforce is asked for the state of a job; doubled up to 60 s",
    )
    bulk_file_bytes: int = Field(
        95_000_000,
        ge=100_000,
        le=100_000_000,
        validation_alias="BULK_FILE_BYTES",
        description="most bytes of one upload to Salesforce; the limit there is 100 MB",
    )
    bulk_query_rows: int = Field(
        50_000,
        ge=1000,
        validation_alias="BULK_QUERY_ROWS",
        description="rows of one page of a Bulk query's results",
    )

    @property
    def package_longest(self) -> timedelta:
        return timedelta(hours=self.package_hours)

    @property
    def bulk_longest(self) -> timedelta:
        return timedelta(hours=self.bulk_hours)
