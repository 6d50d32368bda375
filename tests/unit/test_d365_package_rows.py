"""The rows of an exported package, read where it lies, in pieces."""

from __future__ import annotations

import csv
import io
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from integration.d365.package_blobs import RANGE, BlobFile, UrlRefused
from integration.d365.package_csv import CsvFile
from integration.d365.package_rows import package_rows
from integration.errors import ContractError
from tests.unit.test_d365_package_support import (
    blob_server,
)


def zipped(text: str, encoding: str, name: str = "Sales prices.csv") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Manifest.xml", "<x/>")
        archive.writestr(name, text.encode(encoding))
        archive.writestr("PackageHeader.xml", "<x/>")
    return packed.getvalue()


def written(rows: list[list[str]], delimiter: str = ",") -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
async def test_rows_are_read_by_header_in_any_encoding(encoding: str, delimiter: str):
    rows = [
        ["ItemNumber", "Name", "Price"],
        ["1", "two\r\nlines; and, 😀|", "1.10"],
        ["2", "", "3"],
    ]
    with blob_server() as blobs:
        url = blobs.place("x.zip", zipped(written(rows, delimiter), encoding))
        columns = ("PRICE", "NOT-THERE", "ITEMNUMBER", "NAME")
        reading = package_rows(url, "Sales Prices", columns)
        found = [row async for _, batch in reading for row in batch]
    assert found == [("1.10", "", "1", "two\r\nlines; and, 😀|"), ("3", "", "2", "")]


def test_cells_that_a_row_does_not_have_are_empty():
    file = CsvFile(io.BufferedReader(io.BytesIO(b"A,B,C\n1\n\n2,3,4,5\n")))
    assert file.cells(("C",), 1) == [("",)]
    assert file.cells(("A", "C"), 9) == [("2", "4")]
    assert file.cells(("A",), 9) == []


CELLS = st.text(st.sampled_from('ab",;\r\n Ä漢😀\x85\u2028'), max_size=5)


@given(
    rows=st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=10),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
@settings(max_examples=150, deadline=None)
def test_reading_goes_on_at_every_row(rows, encoding):
    body = written([["A", "B"], *rows]).encode(encoding)
    expected = [(b, a) for a, b in rows]
    starts = [0]
    file = CsvFile(io.BufferedReader(io.BytesIO(body)))
    while file.cells(("A",), 1):
        starts.append(file.offset)
    assert starts[-1] in (0, len(body))
    for done, start in enumerate(starts):
        file = CsvFile(io.BufferedReader(io.BytesIO(body)), start=start)
        assert file.headers == ["A", "B"]
        assert file.cells(("B", "A"), 100) == expected[done:]


async def test_a_large_package_is_read_by_ranges_and_continued_from_a_stored_position():
    rows = [["ITEM", "TEXT"], *([str(n), f'{n * 7919 % 104729:x}"\n{n}'] for n in range(30_000))]
    with blob_server() as blobs:
        url = blobs.place("x.zip", zipped(written(rows), "utf-16"))
        position, found = 0, []
        for _ in range(4):  # steps of a job, each in another process
            taken = 0
            reading = package_rows(url, "Sales prices", ("ITEM",), start=position, batch=1000)
            async for offset, batch in reading:
                position = offset
                found += batch
                taken += 1
                if taken == 8:
                    break
            await reading.aclose()
        assert found == [(row[0],) for row in rows[1:]]
        assert {name: headers for name, _, headers in blobs.calls}["GET"].get(
            "Authorization"
        ) is None


def test_a_file_is_fetched_in_ranges_of_bounded_size():
    body = bytes(range(256)) * 40_000
    with blob_server() as blobs:
        file = BlobFile(blobs.place("x", body), piece=1_000_000)
        assert file.seek(-10, io.SEEK_END) == len(body) - 10
        assert file.read(100) == body[-10:]
        assert file.seek(0) == 0
        assert file.readall() == body
        gets = [call for call in blobs.calls if call[0] == "GET"]
        assert len(gets) == 1 + 11
    assert RANGE <= 1_000_000


@pytest.mark.parametrize(
    "body",
    [
        b"no zip",
        zipped("A\r\n1\r\n", "utf-8", "a.csv").replace(b"a.csv", b"a.xml"),
        zipped("A\r\n\xff\r\n", "latin-1"),
        zipped("x" * 1000, "utf-8").replace(b"Sales prices", b"Sales priceS", 1),
    ],
)
async def test_what_is_no_package_is_told(body: bytes):
    with blob_server() as blobs:
        url = blobs.place("x.zip", body)
        with pytest.raises(ContractError):
            _ = [batch async for _, batch in package_rows(url, "Sales prices", ("A",))]


async def test_a_package_that_is_gone_needs_a_new_url():
    with blob_server() as blobs, pytest.raises(UrlRefused):
        _ = [batch async for _, batch in package_rows(blobs.address("gone"), "x", ("A",))]


async def test_the_only_data_file_is_taken_whatever_its_name():
    with blob_server() as blobs:
        url = blobs.place("x.zip", zipped("A\r\n1\r\n", "utf-8", "Verkaufspreise.txt"))
        found = [batch async for _, batch in package_rows(url, "Sales prices", ("A",))]
        assert found == [[("1",)]]
