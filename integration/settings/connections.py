"""Salesforce, F&O, the webhook and Azure: where they are and how the app signs in."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import NoDecode, SettingsConfigDict

from integration.settings.base import BaseUrl, CallLimit, Group, Names, Pem, needed, split


class SalesforceSettings(Group):
    model_config = SettingsConfigDict(env_prefix="SALESFORCE_")

    login_url: BaseUrl = Field(
        "https://login.salesforce.com",
        description="or https://test.salesforce.com, or the My Domain (needed for client credentials)",
    )
    auth: Literal["jwt", "client_credentials"] = Field("jwt", description="jwt is recommended")
    client_id: str = Field(description="consumer key of the External Client App")
    username: str | None = Field(None, description="integration user, for jwt")
    private_key: Pem | None = Field(
        None, description="PEM of the app's certificate, for jwt; newlines may be written as \\n"
    )
    client_secret: SecretStr | None = Field(None, description="for client_credentials")
    audience: str | None = Field(
        None, description="of the JWT, where it does not follow from the login URL"
    )
    api_version: str = Field("62.0", pattern=r"^\d{2,3}\.0$")
    client_name: str = Field(
        "d365-integration", description="how Salesforce names the app as the origin of changes"
    )
    org_ids: Names = Field((), description="organisations whose Outbound Messages are accepted")
    customer_number_field: str = Field(
        "D365_Customer_Number__c", description="Account field for the customer's number"
    )
    contact_number_field: str = Field(
        "D365_Contact_Number__c", description="Contact field for the contact person's number"
    )
    collection_size: int = Field(
        200, ge=1, le=200, description="records per call; fewer spare the org's own triggers"
    )
    call_timeout: float = Field(120, gt=0, description="seconds for one call")

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
        return needed(value, info, needs, "SALESFORCE_AUTH")

    @property
    def token_audience(self) -> str:
        """Salesforce checks `aud` against the login host of the org's kind (Salesforce contract 1.2)."""
        if self.audience:
            return self.audience
        host = urlsplit(self.login_url).netloc
        sandbox = host == "test.salesforce.com" or host.endswith(".sandbox.my.salesforce.com")
        return "https://test.salesforce.com" if sandbox else "https://login.salesforce.com"


class D365Settings(CallLimit):
    base_url: BaseUrl = Field(description="of the environment, without /data")
    auth: Literal["secret", "certificate", "managed_identity"] = "managed_identity"
    tenant_id: str | None = Field(None, description="for secret and certificate")
    authority: BaseUrl = "https://login.microsoftonline.com"
    client_id: str | None = Field(
        None, description="application id; for managed_identity that of a user-assigned one"
    )
    client_secret: SecretStr | None = Field(None, description="for secret")
    certificate: Pem | None = Field(None, description="PEM with its private key, for certificate")
    company: str = Field(description="default legal entity", min_length=1, max_length=4)
    salesforce_id_field: str = Field(
        "SalesforceAccountId", description="custom field of CustomersV3 for the Account's id"
    )
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
    use_etag: bool = Field(True, description="updates carry If-Match; a conflict is read again")
    filter_terms: int = Field(
        20, ge=1, description="comparisons in one $filter; how many F&O accepts is not published"
    )
    batch_size: int = Field(100, ge=1, le=5000, description="operations in one $batch")
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
        return needed(value, info, needs, "D365_AUTH")


class WebhookSettings(Group):
    model_config = SettingsConfigDict(env_prefix="WEBHOOK_")

    secrets: Annotated[
        tuple[SecretStr, ...],
        NoDecode,
        BeforeValidator(split),
        Field(validation_alias=AliasChoices("WEBHOOK_SECRETS", "WEBHOOK_SECRET")),
    ] = Field((), description="one or, during rotation, two HMAC keys")
    static_secret: SecretStr | None = Field(None, description="for Flow callouts; off when empty")
    client_thumbprints: Names = Field(
        (), description="SHA-1 or SHA-256 of client certificates; none: not asked for"
    )
    max_bytes: int = Field(1_000_000, ge=1_000, description="largest body that is accepted")
    clock_skew: float = Field(300, gt=0, description="seconds a signed timestamp may differ")


class AzureSettings(Group):
    """Connections in the form the Functions host reads them too (Azure contract 1.9)."""

    service_bus: SecretStr | None = Field(
        None, validation_alias="ServiceBus", description="connection string"
    )
    service_bus_namespace: str | None = Field(
        None,
        validation_alias="ServiceBus__fullyQualifiedNamespace",
        description="with a managed identity instead of a connection string",
    )
    service_bus_client_id: str | None = Field(
        None, validation_alias="ServiceBus__clientId", description="user-assigned identity"
    )
    storage: SecretStr | None = Field(
        None, validation_alias="AzureWebJobsStorage", description="connection string"
    )
    storage_account: str | None = Field(
        None,
        validation_alias="AzureWebJobsStorage__accountName",
        description="with a managed identity instead of a connection string",
    )
    storage_client_id: str | None = Field(
        None,
        validation_alias="AzureWebJobsStorage__clientId",
        description="user-assigned identity",
    )
    state_container: str = Field(
        "integration-state", validation_alias="STATE_CONTAINER", description="blob container"
    )

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
