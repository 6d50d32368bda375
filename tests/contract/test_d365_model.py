"""The model for F&O in d365/ gives what the app asks for: fields by their names, rights by what flows do.

F&O's own compiler is not here; docs/setup-d365.md names what only it can prove.
"""

from __future__ import annotations

import tomllib
from functools import cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from integration.cli.checks.d365_needs import D365Needs
from integration.mapping.customisation import load_customisation
from integration.settings import D365Settings, OrderSettings
from tests.contract.infra_support import PROJECT
from tests.unit.account_support import settings_of

if TYPE_CHECKING:
    from pathlib import Path
    from xml.etree.ElementTree import Element

PACKAGE = PROJECT / "d365" / "SalesforceIntegration"
MODEL = PACKAGE / "SalesforceIntegration"
FILES = sorted(PACKAGE.rglob("*.xml"))
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
EXTENSION = ".SalesforceIntegration"
# entity → table with the field, staging table of Data management
TABLES = {
    "CustCustomerV3Entity": ("CustTable", "CustCustomerV3Staging"),
    "smmContactPersonV2Entity": ("ContactPerson", "smmContactPersonV2Staging"),
    "SalesOrderHeaderV2Entity": ("SalesTable", "SalesOrderHeaderV2Staging"),
    "SalesOrderLineV2Entity": ("SalesLine", "SalesOrderLineV2Staging"),
}
# The order in which F&O's serializer writes them; what stands elsewhere is dropped without a word.
ORDER = {
    "AxEdt": ("Name", "HelpText", "Label", "ArrayElements", "Relations", "TableReferences", "StringSize"),
    "AxTableExtension": (
        "Name", "FieldGroupExtensions", "FieldGroups", "FieldModifications", "Fields", "FullTextIndexes",
        "Indexes", "Mappings", "PropertyModifications", "RelationExtensions", "RelationModifications",
        "Relations",
    ),
    "AxDataEntityViewExtension": (
        "Name", "DataSources", "FieldGroupExtensions", "FieldGroups", "FieldModifications", "Fields",
        "Mappings", "PropertyModifications", "Relations",
    ),
    "AxSecurityPrivilege": (
        "Name", "Label", "DataEntityPermissions", "DirectAccessPermissions", "EntryPoints",
        "FormControlOverrides",
    ),
    "AxSecurityDataEntityPermission": ("Grant", "Name", "Fields", "Methods"),
    "AxSecurityDuty": ("Name", "Label", "Privileges"),
    "AxSecurityRole": (
        "Name", "Description", "Label", "DirectAccessPermissions", "Duties", "Privileges", "SubRoles",
    ),
    "Grant": ("Create", "Read", "Update"),
}  # fmt: skip
# Read by the command line (companies), and with `sales_stop` of the mapping file.
BESIDE = {"LegalEntities", "ProductDefaultOrderSettings"}


def element(kind: str, name: str) -> Element:
    return ElementTree.parse(MODEL / kind / f"{name}.xml").getroot()


def texts(root: Element, path: str) -> list[str]:
    return [str(found.text) for found in root.findall(path)]


def names(kind: str) -> set[str]:
    return {file.stem for file in (MODEL / kind).glob("*.xml")}


@cache
def sets() -> dict[str, str]:
    """AOT name of an entity → its entity set, from the stand-in's model."""
    found: dict[str, str] = {}
    for file in sorted((PROJECT / "sandbox" / "d365" / "model").glob("*.toml")):
        for entity_set, entity in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if isinstance(entity, dict) and "aot" in entity:
                found[entity["aot"]] = entity_set
    return found


def fields() -> dict[str, str]:
    """Entity → the field that its flow looks records up by."""
    d365, orders = D365Settings.model_fields, OrderSettings.model_fields
    return {
        "CustCustomerV3Entity": d365["salesforce_id_field"].default,
        "smmContactPersonV2Entity": d365["salesforce_contact_id_field"].default,
        "SalesOrderHeaderV2Entity": orders["id_field"].default,
        "SalesOrderLineV2Entity": orders["line_id_field"].default,
    }


def granted() -> dict[str, set[str]]:
    """Entity set → what the role may do with it."""
    found: dict[str, set[str]] = {}
    for name in names("AxSecurityPrivilege"):
        root = element("AxSecurityPrivilege", name)
        for permission in root.iter("AxSecurityDataEntityPermission"):
            grants = permission.find("Grant")
            assert grants is not None
            assert {grant.text for grant in grants} == {"Allow"}
            entity_set = sets()[str(permission.findtext("Name"))]
            assert entity_set not in found
            found[entity_set] = {grant.tag for grant in grants}
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_file_is_named_as_its_element_and_keeps_the_serializers_order(file: Path) -> None:
    root = ElementTree.parse(file).getroot()
    assert root.findtext("Name") == file.stem
    assert file.parent.name in (root.tag, "Descriptor")
    for part in root.iter():
        wanted = ORDER.get(part.tag)
        if wanted is not None:
            places = [wanted.index(child.tag) for child in part]
            assert places == sorted(places), part.tag
    assert file.read_text(encoding="utf-8").isascii()


def test_the_field_is_on_table_staging_table_and_entity() -> None:
    assert fields().keys() == TABLES.keys()
    for entity, field in fields().items():
        root = element("AxDataEntityViewExtension", entity + EXTENSION)
        [mapped] = root.findall("Fields/AxDataEntityViewField")
        assert mapped.get(TYPE) == "AxDataEntityViewMappedField"
        table, staging = TABLES[entity]
        assert [child.text for child in mapped] == [field, field, table]
        for name in (table, staging):
            [column] = element("AxTableExtension", name + EXTENSION).findall("Fields/AxTableField")
            assert column.get(TYPE) == "AxTableFieldString"
            assert [child.text for child in column] == [field, "SalesforceRecordId"]
    assert names("AxTableExtension") == {
        name + EXTENSION for pair in TABLES.values() for name in pair
    }


def test_every_lookup_has_an_index_that_allows_empty_fields() -> None:
    for entity, field in fields().items():
        index = element("AxTableExtension", TABLES[entity][0] + EXTENSION).find(
            "Indexes/AxTableIndex"
        )
        assert index is not None
        assert index.findtext("AllowDuplicates") == "Yes"
        assert texts(index, "Fields/AxTableIndexField/DataField") == [field]


def test_an_id_has_eighteen_characters() -> None:
    assert element("AxEdt", "SalesforceRecordId").findtext("StringSize") == "18"


def test_the_role_may_do_what_the_flows_do_and_nothing_else() -> None:
    settings = settings_of(CUSTOMERS_WITHOUT_ACCOUNT="create")
    needed: dict[str, set[str]] = {entity_set: {"Read"} for entity_set in BESIDE}
    for entity_set, needs in D365Needs(settings, load_customisation(None)).sets().items():
        creates = {"Create"} if needs.create else set()
        updates = {"Update"} if needs.update else set()
        needed[entity_set] = {"Read"} | creates | updates
    assert granted() == needed


def test_the_role_holds_the_duty_and_the_duty_both_privileges() -> None:
    [role], [duty] = names("AxSecurityRole"), names("AxSecurityDuty")
    assert texts(element("AxSecurityRole", role), "Duties/*/Name") == [duty]
    privileges = texts(element("AxSecurityDuty", duty), "Privileges/*/Name")
    assert set(privileges) == names("AxSecurityPrivilege")


def test_the_guide_names_every_element() -> None:
    guide = (PROJECT / "docs" / "setup-d365.md").read_text(encoding="utf-8")
    for entity, (table, staging) in TABLES.items():
        for name in (entity, table, staging, fields()[entity]):
            assert f"`{name}`" in guide, name
