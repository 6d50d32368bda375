"""What the mapping must know of ContactPersons: lengths, and the fields the app itself answers for.

Names are of F&O contract 5.3. It gives no lengths; these are of the standard data types, as for the same
parts of a customer.
"""

from __future__ import annotations

from integration.mapping.entities import Entity

BUILT_IN = frozenset(
    {
        "ContactPersonId", "FirstName", "MiddleName", "LastName", "PrimaryEmailAddress",
        "PrimaryPhoneNumber", "IsPrimaryPhoneNumberMobile", "EmploymentJobTitle",
        "EmploymentDepartment", "PrimaryAddressStreet", "PrimaryAddressCity",
        "PrimaryAddressZipCode", "PrimaryAddressStateId", "PrimaryAddressCountryRegionId",
        "ContactInformationLanguageId",
    }
)  # fmt: skip

ENTITY = Entity(
    section="contacts",
    source_object="Contact",
    entity_set="ContactPersons",
    record="contact person",
    keys=("dataAreaId", "ContactPersonId"),
    built_in=BUILT_IN,
    mandatory=frozenset({"LastName"}),
    not_mappable=frozenset(
        {
            "dataAreaId", "ContactPersonId", "ContactPersonPartyNumber", "AssociatedPartyNumber",
            "ContactForParty",
        }
    ),
    lengths={
        "FirstName": 25,
        "MiddleName": 25,
        "LastName": 25,
        "SearchName": 20,
        "PrimaryEmailAddress": 255,
        "PrimaryPhoneNumber": 255,
        "PrimaryPhoneNumberExtension": 10,
        "PrimaryURL": 255,
        "EmploymentJobTitle": 60,
        "EmploymentDepartment": 60,
        "PrimaryAddressStreet": 250,
        "PrimaryAddressCity": 60,
        "PrimaryAddressZipCode": 10,
        "PrimaryAddressStateId": 10,
        "PrimaryAddressCountryRegionId": 10,
        "ContactInformationLanguageId": 7,
    },
    state="PrimaryAddressStateId",
)  # fmt: skip
