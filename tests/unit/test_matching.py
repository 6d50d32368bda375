"""Which proposals are clear, which are for a person, and what an approved file must not hold."""

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from integration.cli import match_file
from integration.cli.match_check import Checked, check
from integration.cli.match_file import Line
from integration.cli.problems import CommandFailed
from integration.flows.account_matching import (
    OpenAccount,
    OpenCustomer,
    Proposal,
    plain_name,
    propose,
)
from tests.unit.account_support import A, B, C


def account(key: str, name: str = "Acme", **values: str) -> OpenAccount:
    given = {"company": "usmf", "number": "", "postcode": "", "tax_id": "", **values}
    return OpenAccount(key, name, **given)


def customer(number: str, name: str = "Acme", **values: str) -> OpenCustomer:
    given = {"company": "usmf", "postcode": "", "tax_id": "", **values}
    return OpenCustomer(number=number, name=name, **given)


def proposed(
    accounts: Sequence[OpenAccount], customers: Sequence[OpenCustomer]
) -> list[tuple[str, str | None, str, bool]]:
    return [
        (each.account.id, each.customer.number if each.customer else None, each.rule, each.approved)
        for each in propose(accounts, customers)
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Tölzer & Söhne GmbH", "TOLZER SOHNE"),
        ("Acme, Inc.", "acme"),
        ("Weiß AG & Co. KG", "Weiss"),
        ("A. B. Smith Ltd", "AB Smith Limited"),
        ("GmbH", "gmbh"),
    ],
)
def test_the_same_company_is_recognised_however_it_is_written(one: str, other: str) -> None:
    assert plain_name(one) == plain_name(other) != ""


def test_different_names_stay_different() -> None:
    assert plain_name("Acme Nord GmbH") != plain_name("Acme Süd GmbH")


def test_the_tax_id_counts_whatever_its_punctuation() -> None:
    found = proposed(
        [account(A, "Renamed", tax_id="DE 123.456-789")], [customer("7", tax_id="de123456789")]
    )
    assert found == [(A, "7", "tax id", True)]


def test_a_number_alone_is_no_proof() -> None:
    accounts = [account(A, "Acme", number="7"), account(B, "Zeta", number="8")]
    assert proposed(accounts, [customer("7", "ACME Inc"), customer("8", "Other")]) == [
        (A, "7", "number", True),
        (B, "8", "number", False),
    ]


def test_a_name_needs_its_postcode() -> None:
    accounts = [account(A, postcode="83646"), account(B, "Zeta")]
    customers = [customer("1", postcode="83 646"), customer("2", "Zeta")]
    assert proposed(accounts, customers) == [
        (A, "1", "name and postcode", True),
        (B, None, "none", True),
    ]


def test_several_customers_for_one_account_are_for_a_person() -> None:
    customers = [customer("1", postcode="1"), customer("2", postcode="1")]
    found = proposed([account(A, postcode="1")], customers)
    assert [approved for *_, approved in found] == [False, False]


def test_several_accounts_for_one_customer_are_for_a_person() -> None:
    accounts = [account(A, postcode="1"), account(B, tax_id="X1", postcode="1")]
    found = proposed(accounts, [customer("1", postcode="1", tax_id="X1")])
    assert found == [(A, "1", "name and postcode", False), (B, "1", "tax id", False)]


def test_contradicting_tax_ids_are_for_a_person() -> None:
    found = proposed(
        [account(A, postcode="1", tax_id="X1")], [customer("1", postcode="1", tax_id="X2")]
    )
    assert found == [(A, "1", "name and postcode", False)]


def test_customers_of_another_company_do_not_count() -> None:
    found = proposed([account(A, tax_id="X1")], [customer("1", tax_id="X1", company="demf")])
    assert found == [(A, None, "none", True)]


PROPOSALS = [
    Proposal(account(A, "=HYPERLINK(1)"), customer("-7", "+49"), "number", approved=True),
    Proposal(account(B, 'Sämann, "Lots"\nof text'), None, "none", approved=False, note="x"),
]


@pytest.mark.parametrize("name", ["match.csv", "match.json"])
def test_a_file_comes_back_as_it_was_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    match_file.write(path, PROPOSALS)
    lines = match_file.read(path)
    found = [(each.account_id, each.company, each.customer_number, each.approved) for each in lines]
    assert found == [(A, "usmf", "-7", "yes"), (B, "usmf", "", "no")]


def test_a_spreadsheet_takes_no_name_for_a_formula_and_may_save_semicolons(tmp_path: Path) -> None:
    path = tmp_path / "match.csv"
    match_file.write(path, PROPOSALS)
    with path.open(encoding="utf-8-sig", newline="") as text:
        rows = list(csv.reader(text))
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    with path.open("w", encoding="utf-8", newline="") as text:
        csv.writer(text, delimiter=";").writerows(rows)
    assert [line.account_id for line in match_file.read(path)] == [A, B]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("match.csv", ""),
        ("match.csv", "account_id,approved\n1,yes\n"),
        ("match.json", "{}"),
        ("match.json", "[1]"),
        ("match.json", "no json"),
        ("absent/match.csv", None),
    ],
)
def test_another_file_is_refused_in_words(tmp_path: Path, name: str, text: str | None) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandFailed, match="next:"):
        match_file.read(path)


def checked(*lines: tuple[str, str, str, str]) -> Checked:
    accounts = {key: account(key) for key in (A, B)}
    customers = [customer("0007"), customer("8")]
    return check(
        [Line(f"line {number}", *line) for number, line in enumerate(lines, start=2)],
        accounts,
        customers,
    )


def test_what_is_approved_is_taken_over() -> None:
    result = checked((A[:15], "USMF", "0007", "Yes"), (B, "usmf", "", "yes"))
    assert result.problems == []
    assert {key: link.text for key, link in result.links.items()} == {A: "usmf|0007"}
    assert result.create == {B}


def test_what_is_not_approved_is_only_named() -> None:
    result = checked((A, "usmf", "0007", "no"), (C, "usmf", "gone", "no"))
    assert (result.problems, result.links, result.create) == ([], {}, set())
    assert result.named == {A, C}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (
            [(A, "usmf", "0007", "yes"), (A, "usmf", "8", "yes")],
            "account is approved already in line 2",
        ),
        (
            [(A, "usmf", "0007", "yes"), (A, "usmf", "", "yes")],
            "account is approved already in line 2",
        ),
        ([(A, "usmf", "0007", "yes"), (B, "usmf", "0007", "yes")], "customer is approved already"),
        ([(A, "usmf", "7", "yes")], "no customer 7 in usmf"),
        ([(A, "demf", "8", "yes")], "belongs to company usmf, not demf"),
        ([(C, "usmf", "8", "yes")], "no such account"),
        ([("x", "usmf", "8", "yes")], "no Salesforce id"),
        ([(A, "usmf", "8", "")], "yes or no"),
    ],
)
def test_every_mistake_is_named_with_its_line(
    lines: list[tuple[str, str, str, str]], words: str
) -> None:
    [problem] = checked(*lines).problems
    assert words in problem
    assert problem.startswith(f"line {len(lines) + 1}: ")
