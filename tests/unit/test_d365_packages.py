"""The package file: its XML element by element, its rows, and templates from a tenant."""

from __future__ import annotations

import codecs
import csv
import io
import zipfile
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.d365 import package_zip
from integration.d365.package_manifest import NAMESPACE, describe
from integration.d365.package_upload import count_rows
from integration.d365.package_zip import ZipState
from integration.d365.packages import Column, PackageTable, decode_rows, encode_rows
from integration.errors import ConfigurationError, ContractError
from tests.unit.test_d365_package_support import TABLE, unzip, volume

if TYPE_CHECKING:
    from pathlib import Path

CELLS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", 'say "hi"', "a,b;c", "two\r\nlines", "\n", "\r", '"', "Ä漢😀", "\ufeffx"]),
)
ROWS = st.lists(st.lists(CELLS, min_size=4, max_size=4), max_size=12)


def package(parts: list[bytes], encoding: Any = "utf-8", **changes: Any) -> bytes:
    """A package as the upload puts it together, with the state kept as JSON in between."""
    description = describe(TABLE, "Load 1", volume(package_encoding=encoding, **changes))
    written, state = package_zip.begin(description, TABLE.file_name, encoding)
    for part in parts:
        state = ZipState.from_json(state.to_json())
        piece, state = package_zip.append(state, package_zip.recode(part, encoding))
        written += piece
    return written + package_zip.finish(state)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@given(parts=st.lists(ROWS, max_size=4))
@settings(max_examples=60, deadline=None)
def test_rows_of_any_text_come_out_of_the_package_as_they_went_in(encoding, parts):
    files = unzip(package([encode_rows(rows) for rows in parts], encoding))
    assert list(files) == ["Manifest.xml", "PackageHeader.xml", "Customers V3.csv"]
    data = files["Customers V3.csv"]
    if encoding == "utf-16":
        assert data.startswith(codecs.BOM_UTF16_LE)
        text = data.decode("utf-16")
    else:
        assert not data.startswith(codecs.BOM_UTF8)
        text = data.decode()
    found = list(csv.reader(io.StringIO(text, newline="")))
    assert found[0] == list(TABLE.headers)
    assert found[1:] == [row for rows in parts for row in rows]


@given(ROWS)
def test_rows_are_counted_and_read_back_from_a_part(rows):
    part = encode_rows(rows)
    assert count_rows(part) == len(rows)
    assert list(decode_rows(part)) == rows


def test_no_value_is_an_empty_cell_and_half_a_character_a_question_mark():
    assert encode_rows([[None, "x"], ["", "\ud83d"]]) == b",x\r\n,?\r\n"
    with pytest.raises(ContractError):
        list(decode_rows(b"\xff\xfe"))


def test_the_same_rows_give_the_same_bytes():
    parts = [encode_rows([["1", "Contoso", "10", "001"]]), encode_rows([["2", "", "20", "002"]])]
    assert package(parts) == package(parts)


def test_the_zip_says_that_its_data_is_a_stream_and_is_compressed():
    body = package([encode_rows([["1", "Contoso" * 500, "10", "001"]])])
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        manifest, _, data = archive.infolist()
        assert (manifest.flag_bits, data.flag_bits) == (0, 0x08)
        assert data.compress_type == zipfile.ZIP_DEFLATED
        assert data.compress_size < data.file_size / 10


def test_a_package_beyond_the_plain_zip_format_is_refused():
    state = ZipState((), "x.csv", 0, 100, size=0xFFFF_FFF0)
    with pytest.raises(ConfigurationError, match="PACKAGE_ROWS"):
        package_zip.append(state, b"x" * 100)


def children(element: ElementTree.Element) -> list[tuple[str, str | None]]:
    return [(node.tag.removeprefix(f"{{{NAMESPACE}}}"), node.text) for node in element]


def test_both_descriptions_are_utf_16_with_a_mark_and_without_a_declaration():
    files = unzip(package([]))
    for name, root in (
        ("Manifest.xml", "DataManagementPackageManifest"),
        ("PackageHeader.xml", "DataManagementPackageHeader"),
    ):
        assert files[name].startswith(codecs.BOM_UTF16_LE)
        text = files[name].decode("utf-16")
        assert text.startswith(
            f'<{root} xmlns="http://schemas.microsoft.com/dynamics/2015/01/DataManagement"'
            ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance">'
        )


def test_the_package_header_holds_its_elements_in_order():
    root = ElementTree.fromstring(unzip(package([]))["PackageHeader.xml"])
    assert children(root) == [
        ("Description", "Load 1"),
        (
            "ManifestType",
            "Microsoft.Dynamics.AX.Framework.Tools.DataManagement.Serialization"
            ".DataManagementPackageManifest",
        ),
        ("PackageType", "DefinitionGroup"),
        ("PackageVersion", "1"),
    ]


def test_the_manifest_holds_its_elements_in_the_serializer_s_order():
    root = ElementTree.fromstring(unzip(package([]))["Manifest.xml"])
    assert children(root)[:2] == [("DefinitionGroupName", "Load 1"), ("Description", "Load 1")]
    (entity,) = root.findall("{*}PackageEntityList/{*}DataManagementPackageEntityData")
    assert children(entity) == [
        ("EntityMapList", None),
        ("EntityName", "Customers V3"),
        ("EntityTransformList", None),
        ("ExcelSheetName", None),
        ("ExecutionUnit", "1"),
        ("FailExecutionUnitOnError", "false"),
        ("FailLevelOnError", "false"),
        ("InputFilePath", "Customers V3.csv"),
        ("LevelInExecutionUnit", "1"),
        ("RunBusinessLogic", "true"),
        ("RunBusinessValidation", "true"),
        ("SampleFilePath", None),
        ("SequenceInLevel", "1"),
        ("SourceFormat", "CSV-Unicode"),
        ("ValidationStatus", "Yes"),
    ]
    nil = "{http://www.w3.org/2001/XMLSchema-instance}nil"
    assert entity.find("{*}EntityTransformList").attrib == {nil: "true"}
    maps = entity.findall("{*}EntityMapList/{*}EntityMap")
    for place, (column, node) in enumerate(zip(TABLE.columns, maps, strict=True)):
        assert node.find("{*}EntityFieldConversionList").attrib == {nil: "true"}
        assert children(node) == [
            ("ArrayIndex", "0"),
            ("EntityField", column.header),
            ("EntityFieldConversionList", None),
            ("IsAutoDefault", "false"),
            ("IsAutoGenerated", "true" if place == 0 else "false"),
            ("IsDefaultValueEqualNull", "false"),
            ("UseTextQualifier", "false"),
            ("XMLField", column.header),
        ]


def test_names_from_outside_are_escaped():
    description = describe(TABLE, "A & <B>", volume(package_format="CSV & more"))
    root = ElementTree.fromstring(description.manifest)
    assert root.findtext("{*}DefinitionGroupName") == "A & <B>"
    assert root.findtext(".//{*}SourceFormat") == "CSV & more"


@pytest.mark.parametrize(
    ("columns", "key"),
    [
        ((Column("customeraccount"),), ("customeraccount",)),
        ((Column("A"), Column("A")), ("A",)),
        ((Column("A"),), ("B",)),
        ((Column("A"),), ()),
        ((), ("A",)),
    ],
)
def test_a_table_that_f_and_o_could_not_have_is_refused(columns, key):
    with pytest.raises(ValueError, match="Customers V3"):
        PackageTable("Customers V3", columns, key)


def test_a_table_survives_a_position():
    assert PackageTable.from_json(TABLE.to_json()) == TABLE


def entity_map(field: str, column: str | None = None, *, auto: bool = False) -> str:
    return (
        f"<EntityMap><ArrayIndex>0</ArrayIndex><EntityField>{field}</EntityField>"
        f"<IsAutoGenerated>{str(auto).lower()}</IsAutoGenerated>"
        f"<XMLField>{field if column is None else column}</XMLField></EntityMap>"
    )


MAPS = (
    entity_map("CUSTOMERACCOUNT", "", auto=True)
    + entity_map("ORGANIZATIONNAME", "OrganizationName")
    + entity_map("CUSTOMERGROUPID")
    + entity_map("SALESFORCEACCOUNTID")
)


def template(
    folder: Path,
    maps: str = MAPS,
    *,
    file: str = "CUSTOMERS V3_01.csv",
    label: str = "Customers V3",
    encoding: str = "utf-16-le",
) -> str:
    """A package as somebody downloaded it; formatted and commented, unlike ours."""
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    manifest = (
        f'<m:DataManagementPackageManifest xmlns:m="{NAMESPACE}" xmlns="{NAMESPACE}">\r\n'
        "  <!-- made in the tenant -->\r\n"
        "  <DefinitionGroupName>Old &amp; project</DefinitionGroupName>\r\n"
        "  <PackageEntityList><DataManagementPackageEntityData>"
        f"<EntityMapList>{maps}</EntityMapList><EntityName>{label}</EntityName>"
        f"<InputFilePath>{file}</InputFilePath><SourceFormat>CSV-Contoso</SourceFormat>"
        "</DataManagementPackageEntityData></PackageEntityList>\r\n"
        "</m:DataManagementPackageManifest>"
    )
    with zipfile.ZipFile(folder / "Customers V3.zip", "w") as archive:
        archive.writestr("Manifest.xml", mark + manifest.encode(encoding))
        archive.writestr("PackageHeader.xml", "<DataManagementPackageHeader/>")
        archive.writestr(file, "x")
    return manifest


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-8"])
def test_a_template_is_taken_over_but_for_the_project_and_the_file(tmp_path, encoding):
    before = template(tmp_path, encoding=encoding)
    files = unzip(package([], package_templates=str(tmp_path)))
    after = files["Manifest.xml"].decode("utf-16" if encoding == "utf-16-le" else "utf-8")
    assert after == before.replace("Old &amp; project", "Load 1").replace(
        "CUSTOMERS V3_01.csv", "Customers V3.csv"
    )
    assert files["PackageHeader.xml"] == b"<DataManagementPackageHeader/>"
    header = b"CUSTOMERACCOUNT,OrganizationName,CUSTOMERGROUPID,SALESFORCEACCOUNTID\r\n"
    assert files["Customers V3.csv"] == header


def test_another_entity_s_template_is_none(tmp_path):
    described = describe(TABLE, "p", volume(package_templates=str(tmp_path)))
    assert described == describe(TABLE, "p", volume())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"maps": MAPS + entity_map("SITEID") + entity_map("DLVMODE")}, "have: DLVMODE, SITEID"),
        ({"maps": MAPS.replace("CUSTOMERGROUPID", "X")}, "data file has: CUSTOMERGROUPID"),
        ({"maps": MAPS.replace("true", "false")}, "otherwise than here for: CUSTOMERACCOUNT"),
        ({"file": "Customers V3.xlsx"}, "no CSV"),
        ({"label": "Customers V2"}, "of the entity 'Customers V2'"),
        ({"maps": "<broken"}, "no XML"),
    ],
)
def test_a_template_that_does_not_fit_says_what_is_missing(tmp_path, changes, said):
    template(tmp_path, **changes)
    with pytest.raises(ConfigurationError, match=said):
        describe(TABLE, "p", volume(package_templates=str(tmp_path)))


def test_a_template_that_is_no_package_is_told(tmp_path):
    path = tmp_path / "Customers V3.zip"
    path.write_bytes(b"no zip")
    with pytest.raises(ConfigurationError, match="zip file"):
        describe(TABLE, "p", volume(package_templates=str(tmp_path)))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Manifest.xml", "<x/>")
    with pytest.raises(ConfigurationError, match="packageheader"):
        describe(TABLE, "p", volume(package_templates=str(tmp_path)))
