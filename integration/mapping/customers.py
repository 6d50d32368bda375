"""What the mapping must know of CustomersV3: lengths, and the fields the app itself answers for.

Lengths are of the standard data types (F&O contract 5.2); an environment may have extended them, so
they are defaults that `max_length` in the mapping file overrides.
"""

from __future__ import annotations

from integration.mapping.entities import Entity

KEYS = ("dataAreaId", "CustomerAccount")

# F&O refuses a customer without them, or the app could not find it again.
MANDATORY = frozenset({"OrganizationName", "CustomerGroupId", "SalesCurrencyCode", "PartyType"})

BUILT_IN = frozenset(
    {
        "CustomerAccount", "OrganizationName", "PersonFirstName", "PersonLastName", "PartyType",
        "AddressStreet", "AddressCity", "AddressZipCode", "AddressState",
        "AddressCountryRegionId", "PrimaryContactPhone", "PrimaryContactURL",
        "SalesCurrencyCode", "CustomerGroupId", "LanguageId",
    }
)  # fmt: skip

# Set by the company rule, by number sequences or by F&O itself.
NOT_MAPPABLE = frozenset({"dataAreaId", "CustomerAccount", "PartyNumber", "PartyType"})

LENGTHS = {
    "CustomerAccount": 20,
    "OrganizationName": 100,
    "PersonFirstName": 25,
    "PersonMiddleName": 25,
    "PersonLastName": 25,
    "NameAlias": 20,
    "CustomerGroupId": 10,
    "SalesCurrencyCode": 3,
    "LanguageId": 7,
    "AddressStreet": 250,
    "AddressStreetNumber": 20,
    "AddressCity": 60,
    "AddressZipCode": 10,
    "AddressState": 10,
    "AddressCounty": 10,
    "AddressCountryRegionId": 10,
    "AddressDescription": 60,
    "PrimaryContactEmail": 255,
    "PrimaryContactPhone": 255,
    "PrimaryContactPhoneExtension": 10,
    "PrimaryContactURL": 255,
    "PaymentTerms": 10,
    "PaymentMethod": 10,
    "PaymentSchedule": 10,
    "PaymentCashDiscount": 10,
    "DeliveryTerms": 10,
    "DeliveryMode": 10,
    "CreditRating": 10,
    "TaxExemptNumber": 20,
    "SalesTaxGroup": 10,
    "SiteId": 10,
    "WarehouseId": 10,
    "InvoiceAccount": 20,
    "OrganizationNumber": 50,
    "IdentificationNumber": 50,
}

ENTITY = Entity(
    section="accounts",
    source_object="Account",
    entity_set="CustomersV3",
    record="customer",
    keys=KEYS,
    built_in=BUILT_IN,
    mandatory=MANDATORY,
    not_mappable=NOT_MAPPABLE,
    lengths=LENGTHS,
    state="AddressState",
)
