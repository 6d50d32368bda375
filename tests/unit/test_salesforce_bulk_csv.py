"""CSV as Bulk API 2.0 wants and gives it."""

import csv
import io
from collections.abc import AsyncGenerator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integration.errors import ContractError
from integration.salesforce.bulk_csv import (
    CLEARED,
    LONGEST_ROW,
    CsvDecoder,
    CsvTable,
    decode_rows,
    encode_rows,
    encode_texts,
)

CELLS = st.one_of(
    st.none(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(
        ["", CLEARED, " a ", 'q"q', '"', "a,b", "a\nb", "a\rb", "\r\n", "é€𝄞", "\ufeff", "\u2028"]
    ),
)
ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=8)
)


def as_read(cell: str | None) -> str:
    if cell is None:
        return CLEARED
    return CLEARED + " " if cell == CLEARED else cell


def in_pieces(body: bytes, size: int) -> list[list[str]]:
    decoder = CsvDecoder()
    rows = []
    for start in range(0, len(body), size):
        rows += decoder.feed(body[start : start + size])
    return rows + decoder.finish()


@given(rows=ROWS, size=st.integers(1, 40))
def test_what_is_written_is_read_again_however_it_is_cut(
    rows: list[list[str | None]], size: int
) -> None:
    body = encode_rows(rows)
    expected = [[as_read(cell) for cell in row] for row in rows]
    assert in_pieces(body, size) == expected
    assert list(decode_rows(body)) == expected
    assert list(csv.reader(io.StringIO(body.decode(), newline=""))) == expected


@given(rows=ROWS)
def test_rows_that_empty_no_field_are_written_the_same_in_the_shorter_way(
    rows: list[list[str | None]],
) -> None:
    texts = [["" if cell is None else cell for cell in row] for row in rows]
    assert encode_texts(texts) == encode_rows(texts)


@given(rows=ROWS)
def test_parts_can_be_put_one_after_another(rows: list[list[str | None]]) -> None:
    halves = encode_rows(rows[: len(rows) // 2]) + encode_rows(rows[len(rows) // 2 :])
    assert list(decode_rows(halves)) == list(decode_rows(encode_rows(rows)))


def test_an_empty_text_leaves_the_field_alone_and_none_clears_it() -> None:
    assert encode_rows([("A", "", None)]) == b"A,,#N/A\n"


def test_a_text_that_looks_like_the_mark_for_clearing_does_not_clear() -> None:
    assert encode_rows([("A", "#N/A")]) == b"A,#N/A \n"


def test_blanks_at_the_ends_are_kept_without_quotes() -> None:
    assert encode_rows([(" A ", "B")]) == b" A ,B\n"


def test_half_a_surrogate_pair_becomes_the_replacement_character() -> None:
    assert encode_rows([("a\ud800b", "𝄞")]).decode() == "a\ufffdb,𝄞\n"


def test_no_rows_are_no_bytes() -> None:
    assert encode_rows([]) == b""
    assert list(decode_rows(b"")) == []


@pytest.mark.parametrize(
    "body", [b'"A","never closed', b'"A"x,"B"\n', b"\xff\xfe\n", b"ends inside \xc3"]
)
def test_what_is_no_csv_is_refused(body: bytes) -> None:
    with pytest.raises(ContractError):
        in_pieces(body, 7)


def test_a_quote_that_never_closes_does_not_fill_the_memory() -> None:
    decoder = CsvDecoder()
    decoder.feed(b'"' + b"x" * (LONGEST_ROW - 1))
    with pytest.raises(ContractError, match="without an end"):
        decoder.feed(b"x")


async def pieces(*given: bytes) -> AsyncGenerator[bytes, None]:
    for piece in given:
        yield piece


async def table_of(*given: bytes) -> tuple[list[str], list[list[str]]]:
    table = CsvTable(pieces(*given))
    await table.open()
    return table.header, [row async for rows in table.batches() for row in rows]


@pytest.mark.parametrize(
    ("given", "header", "rows"),
    [
        ([], [], []),
        ([b'"Id","Name"\n'], ["Id", "Name"], []),
        ([b'"Id","Name"'], ["Id", "Name"], []),
        (
            [b'"Id",', b'"Name"\n"1","a\n', b'b"\n"2",""'],
            ["Id", "Name"],
            [["1", "a\nb"], ["2", ""]],
        ),
        ([b"Id\r\n1\r\n2\r\n"], ["Id"], [["1"], ["2"]]),
    ],
)
async def test_a_table_has_a_header_and_rows(
    given: list[bytes], header: list[str], rows: list[list[str]]
) -> None:
    assert await table_of(*given) == (header, rows)


async def test_a_row_that_does_not_fit_the_header_is_refused() -> None:
    with pytest.raises(ContractError, match="header"):
        await table_of(b"Id,Name\n1\n")
