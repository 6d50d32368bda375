"""Which rows F&O refused, from what it tells: never a wrong row, never a wrong reason."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from integration.d365.package_csv import CsvFile
from integration.d365.package_errors import Refusals, read_messages
from integration.d365.package_failures import write_failures
from integration.d365.packages import encode_rows
from integration.errors import ContractError
from integration.state.spool import Spool
from tests.unit.test_d365_package_support import TABLE, Documents, blob_server

ROWS = [
    ["US-1", "Alpha", "10", "001A"],
    ["US-2", "Beta", "20", "001B"],
    ["US-3", "Gamma", "20", "001C"],
]


def csv_file(text: str, encoding: str = "utf-8") -> CsvFile:
    return CsvFile(io.BufferedReader(io.BytesIO(text.encode(encoding))))


def refused(
    *files: str, messages: object = "", rows: list[list[str]] = ROWS
) -> tuple[dict[str, tuple[str, str]], bool]:
    """By source key: field and message; and whether something is unclear."""
    text = messages if isinstance(messages, str) else json.dumps(messages)
    refusals = Refusals(TABLE, read_messages(text))
    for file in files:
        refusals.read_file(csv_file(file))
    refusals.read_source(rows[:1])
    refusals.read_source(rows[1:])
    found = refusals.failures()
    return {k: (v.field, v.message) for (k,), v in found.items()}, refusals.unclear


def test_key_columns_name_the_row_whatever_else_is_in_the_file():
    file = "SITE,salesforce account id,ORGANIZATIONNAME\n9,001b,changed by F&O\n"
    assert refused(file) == ({"001B": ("", "")}, False)


def test_the_file_s_own_reason_is_taken():
    file = "SALESFORCEACCOUNTID,FIELD NAME,ERROR_MESSAGE\n001A,DLVMODE,Not found\n001A,,Too long\n"
    assert refused(file) == ({"001A": ("DLVMODE", "Not found; Too long")}, False)


def test_a_key_that_was_never_sent_is_still_told():
    assert refused("SALESFORCEACCOUNTID\n001Z\n") == ({"001Z": ("", "")}, False)


def test_other_columns_name_the_row_where_they_name_one_only():
    assert refused("CUSTOMERACCOUNT,DATAAREAID\nUS-3,usmf\n") == ({"001C": ("", "")}, False)


@pytest.mark.parametrize(
    "file",
    [
        "CUSTOMERGROUPID\n20\n",  # two rows have it
        "CUSTOMERACCOUNT\nUS-9\n",  # none has it
        'SALESFORCEACCOUNTID\n""\n',  # drawn by F&O and not known yet
        "RECID\n5637144576\n",
    ],
)
def test_a_file_that_identifies_no_row_leaves_it_unclear(file):
    assert refused(file) == ({}, True)


def test_a_row_in_two_files_is_refused_once():
    files = ("SALESFORCEACCOUNTID\n001A\n", "SALESFORCEACCOUNTID,MESSAGE\n001A,Why\n")
    assert refused(*files) == ({"001A": ("", "Why")}, False)


def test_record_ids_are_row_numbers_if_each_of_them_is_a_refused_row():
    file = "SALESFORCEACCOUNTID\n001A\n001C\n"
    messages = [
        {"RecordId": "1", "Field": "F", "ErrorMessage": "one"},
        {"RECORDID": 3, "errorMessage": "three"},
        {"RecordId": "3", "ErrorMessage": "again"},
        {"RecordId": "", "ErrorMessage": "of the whole run"},
    ]
    assert refused(file, messages=messages) == (
        {"001A": ("F", "one"), "001C": ("", "three; again")},
        False,
    )


@pytest.mark.parametrize("record", ["2", "4", "99999999999999"])
def test_record_ids_that_are_something_else_explain_no_row(record):
    messages = [
        {"RecordId": "1", "Field": "F", "ErrorMessage": "one"},
        {"RecordId": record, "Field": "F", "ErrorMessage": "other"},
    ]
    found, unclear = refused("SALESFORCEACCOUNTID\n001A\n", messages=messages)
    if record == "99999999999999":  # an id of F&O, no row number at all
        assert found == {"001A": ("F", "one")}
    else:
        assert found == {"001A": ("", "")}
    assert not unclear


def test_a_record_id_may_be_the_key_itself():
    messages = [{"RecordId": "001b", "Field": "F", "ErrorMessage": "why"}]
    file = "SALESFORCEACCOUNTID\n001B\n"
    assert refused(file, messages=messages) == ({"001B": ("F", "why")}, False)


def test_messages_alone_accuse_no_row():
    messages = [{"RecordId": "1", "Field": "F", "ErrorMessage": "why"}]
    assert refused(messages=messages) == ({}, False)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ("[]", []),
        ("  ", []),
        ("crashed: 0xC0010009", [("", "", "crashed: 0xC0010009")]),
        ('["a", {"Message": "b", "row": 4}]', [("", "", "a"), ("4", "", "b")]),
        ('{"Field Name": "F", "Error text": "c"}', [("", "F", "c")]),
        ('[{"RecordId": "1"}, null, {"ErrorMessage": null}]', [("", "", "None")]),
    ],
)
def test_messages_of_any_shape_are_read(text, found):
    assert [(m.record, m.reason.field, m.reason.message) for m in read_messages(text)] == found


def test_the_first_words_of_f_and_o_are_kept_for_people():
    refusals = Refusals(TABLE, read_messages(json.dumps(["a", "b", "a", "c", "d"])))
    assert refusals.summary() == "a; b; c"


async def test_failures_are_cut_into_parts_and_written_again_the_same():
    store = Documents()
    rows = [["", "x", "10", f"{number:018}"] for number in range(12_000)]
    source, target = Spool(store, "rows"), Spool(store, "rows-failures")
    await source.put(0, encode_rows(rows[:7000]))
    await source.put(1, encode_rows(rows[7000:]))
    await target.put(7, b"left over from an earlier try")
    file = "SALESFORCEACCOUNTID,MESSAGE\r\n" + "".join(
        f'{row[3]},"{"reason " * 20}"\r\n' for row in rows
    )
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("errors.csv", file.encode("utf-16"))
    with blob_server() as blobs:
        urls = [blobs.place("errors.zip", packed.getvalue())]
        for _ in range(2):
            failures = await write_failures(target, source, TABLE, [], urls)
            assert (failures.count, failures.unclear) == (12_000, False)
    assert await target.parts() == [0, 1, 2]
    lines = [line async for part in target.stream() for line in part.decode().splitlines()]
    assert [json.loads(line)["key"]["SALESFORCEACCOUNTID"] for line in lines] == [
        row[3] for row in rows
    ]


async def test_a_file_that_nobody_can_read_leaves_it_unclear():
    store = Documents()
    source = Spool(store, "rows")
    await source.put(0, encode_rows(ROWS))
    with blob_server() as blobs:
        for name, body in [
            ("a", b"PK broken"),
            ("b", b"A\r\n\xff\xff\r\n"),
            ("c", b"PK\5\6" + bytes(18)),
        ]:
            url = blobs.place(name, body)
            failures = await write_failures(Spool(store, "f"), source, TABLE, [], [url])
            assert (failures.count, failures.unclear) == (0, True)


async def test_a_source_that_is_gone_is_no_empty_one():
    store = Documents()
    source = Spool(store, "rows")
    await source.put(0, b"\xff")
    with pytest.raises(ContractError):
        await write_failures(Spool(store, "f"), source, TABLE, [], [])
