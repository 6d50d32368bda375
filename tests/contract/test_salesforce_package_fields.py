"""The org package, the stand-in's schema and the app name the same fields, with the same types and rights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from sandbox.salesforce.schema import Field, Schema
from tests.contract.salesforce_package import (
    ROOT,
    Metadata,
    custom_fields,
    metadata,
    one,
    usage,
)

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

OWN = ("Stock_Level__c", "D365_Records_Changed__e", "D365_Integration__c")  # the app knows none
INPUTS = {"Account.Legal_Entity__c", "Account.Customer_Group__c"}  # people fill them
# Fields everybody sees who sees the object: required, parts of a name, or the platform's own. A
# permission set that names one of them is refused.
UNRESTRICTED = frozenset(
    {
        "Id", "Name", "FirstName", "MiddleName", "LastName", "IsDeleted", "IsPersonAccount",
        "CurrencyIsoCode", "CloseDate", "IsWon", "Quantity", "SortOrder", "SystemModstamp",
    }
)  # fmt: skip
KINDS = {
    "string": "Text", "double": "Number", "currency": "Currency", "date": "Date",
    "textarea": "LongTextArea", "picklist": "Picklist",
}  # fmt: skip


def standin_fields() -> dict[str, Field]:
    return {
        f"{each.name}.{field.name}": field
        for each in Schema().objects.values()
        for field in each.fields.values()
        if field.custom
    }


def as_standin(file: Metadata) -> dict[str, object]:
    """What a field's file says, in the stand-in's words."""
    kind = file.text("type")
    lookup = kind in ("Lookup", "MasterDetail")
    return {
        "type": "reference"
        if lookup
        else next(name for name, each in KINDS.items() if each == kind),
        "label": file.text("label"),
        "length": 18 if lookup else int(file.text("length", "0")),
        "precision": int(file.text("precision", "0")),
        "scale": int(file.text("scale", "0")),
        "external": file.text("externalId") == "true",
        "unique": file.text("unique") == "true",
        "cased": file.text("caseSensitive") == "true",
        "restricted": file.text("valueSet/restricted") == "true",
        "values": tuple(file.texts("valueSet/valueSetDefinition/value/fullName")),
        "to": file.text("referenceTo") or None,
        "children": f"{file.text('relationshipName')}__r" if lookup else None,
        "required": kind == "MasterDetail" or file.text("required") == "true",
        "updateable": kind != "MasterDetail" or file.text("reparentableMasterDetail") == "true",
        "cascade": kind == "MasterDetail" or file.text("deleteConstraint") == "Cascade",
    }


@pytest.mark.parametrize("name", sorted(standin_fields()))
def test_a_field_is_what_the_standin_takes_it_for(name: str) -> None:
    known = standin_fields()[name]
    packaged = as_standin(custom_fields()[name])
    if known.type == "picklist":
        packaged["length"] = known.length  # the platform's own
    assert packaged == {each: getattr(known, each) for each in packaged}


def test_the_package_has_no_field_beside_those_and_its_own_objects() -> None:
    others = {name for name in custom_fields() if name.split(".")[0] not in OWN}
    assert others == set(standin_fields())


def test_objects_are_named_as_in_the_standin() -> None:
    schema = Schema()
    for each in metadata("objects/*/*.object-meta.xml"):
        if each.name not in OWN:
            known = schema.objects[each.name]
            assert each.text("label") == known.label
            assert each.text("pluralLabel") == known.plural
            assert each.text("nameField/label") == known.fields["Name"].label
            assert each.text("nameField/type") == "Text"


def test_every_custom_field_the_app_names_is_in_the_package() -> None:
    used = {name for name in usage().read | usage().written if name.endswith("__c")}
    assert used == {name for name in custom_fields() if name.split(".")[0] not in OWN}


def test_no_source_file_of_the_app_names_another_custom_field() -> None:
    known = {name.split(".")[1] for name in custom_fields()}
    known |= {name.removesuffix("c") + "r" for name in known}
    known |= {each.name for each in metadata("objects/*/*.object-meta.xml")}
    known |= {each.text("relationshipName") + "__r" for each in custom_fields().values()}
    named = {
        (path.name, word)
        for path in sorted((ROOT / "integration").rglob("*.py"))
        for word in re.findall(r"\b[A-Za-z]\w*?__[cr]\b", path.read_text(encoding="utf-8"))
    }
    assert named
    lower = {name.lower() for name in known}
    unknown = {(file, word) for file, word in named if word.lower() not in lower}
    assert unknown == {("document.py", "PO_Number__c")}  # what ORDER_PO_NUMBER_FIELD might name


def rights(name: str) -> dict[str, bool]:
    """`Object.Field` → whether the permission set lets it be edited; all are readable."""
    granted = one(f"permissionsets/{name}.permissionset-meta.xml").root.findall("fieldPermissions")
    assert all(each.findtext("readable") == "true" for each in granted)
    return {each.findtext("field", ""): each.findtext("editable") == "true" for each in granted}


def restricted(fields: frozenset[str]) -> set[str]:
    """As permission sets name them: the parts of an address are one field."""
    found = set()
    for name in fields:
        owner, field = name.split(".")
        known = custom_fields().get(name)
        if field in UNRESTRICTED or (known and known.text("type") == "MasterDetail"):
            continue
        address = re.fullmatch(
            r"(Billing|Shipping|Mailing)(Street|City|PostalCode|State|Country)(Code)?", field
        )
        found.add(f"{owner}.{address[1]}Address" if address else name)
    return found


def test_the_integration_user_sees_exactly_what_the_app_reads_and_writes() -> None:
    granted = rights("D365_Integration_User")
    assert set(granted) == restricted(usage().read)
    assert {name for name, edit in granted.items() if edit} == restricted(usage().written)


def test_new_accounts_need_a_permission_set_of_their_own() -> None:
    granted = rights("D365_New_Accounts")
    assert set(granted) == restricted(usage().born) | {"Account.Legal_Entity__c"}
    assert all(granted.values())


def test_readers_see_all_of_it_and_edit_nothing() -> None:
    granted = rights("D365_Reader")
    hidden = ("D365_Records_Changed__e", "D365_Integration__c")
    packaged = frozenset(name for name in custom_fields() if name.split(".")[0] not in hidden)
    assert set(granted) == restricted(packaged)
    assert not any(granted.values())


def test_only_the_integration_user_edits_what_is_written_back() -> None:
    for each in metadata("permissionsets/*.xml"):
        edited = {name for name, edit in rights(each.name).items() if edit}
        if each.name != "D365_Integration_User":
            assert not edited & usage().written, each.name
    assert {name for name, edit in rights("D365_Account_Steward").items() if edit} == INPUTS


def objects(name: str) -> dict[str, set[str]]:
    def flags(element: Element) -> set[str]:
        return {each.tag for each in element if each.text == "true"}

    root = one(f"permissionsets/{name}.permissionset-meta.xml").root
    return {e.findtext("object", ""): flags(e) for e in root.findall("objectPermissions")}


def test_objects_are_granted_sparingly() -> None:
    read, create, edit, see_all = "allowRead", "allowCreate", "allowEdit", "viewAllRecords"
    assert objects("D365_Integration_User") == {
        "Account": {read, edit, see_all},
        "Contact": {read, edit, see_all},
        "Opportunity": {read, edit, see_all},  # its lines follow it
        "Product2": {read, create, edit},
        "Pricebook2": {read, edit},  # its entries follow it
        "Invoice__c": {read, create, edit},
        "Invoice_Line__c": {read, create, edit},
        "UserExternalCredential": {read},
    }
    assert objects("D365_New_Accounts") == {"Account": {read, create, edit}}
    assert objects("D365_Reader") == {
        "Invoice__c": {read}, "Invoice_Line__c": {read}, "Stock_Level__c": {read}
    }  # fmt: skip
    assert objects("D365_Stock_Check") == {"UserExternalCredential": {read}}
