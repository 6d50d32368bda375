"""Country and state data, and how spellings are recognised."""

from __future__ import annotations

from collections import defaultdict

import pytest

from integration.mapping.countries import CountryBook, all_countries, find_country, signature
from integration.mapping.states import STATES, StateBook


def test_all_of_iso_3166_1_is_there_once() -> None:
    countries = all_countries()
    assert len(countries) == 249
    assert len({country.alpha2 for country in countries}) == 249
    assert len({country.alpha3 for country in countries}) == 249
    assert all(
        len(c.alpha2) == 2 and len(c.alpha3) == 3 and (c.alpha2 + c.alpha3).isupper()
        for c in countries
    )


def test_no_spelling_means_two_countries() -> None:
    meant = defaultdict(set)
    for country in all_countries():
        for spelling in (country.alpha2, country.alpha3, country.name, *country.spellings):
            assert signature(spelling), f"{spelling} of {country.name} is empty"
            meant[signature(spelling)].add(country.alpha2)
    assert {text: codes for text, codes in meant.items() if len(codes) > 1} == {}


@pytest.mark.parametrize(
    ("text", "alpha3"),
    [
        ("US", "USA"),
        ("usa", "USA"),
        ("U.S.A.", "USA"),
        ("The United States of America", "USA"),
        ("Deutschland", "DEU"),
        ("DEUTSCHLAND ", "DEU"),
        ("España", "ESP"),
        ("Espana", "ESP"),
        ("Österreich", "AUT"),
        ("Oesterreich", "AUT"),
        ("O\u0308sterreich", "AUT"),
        ("UK", "GBR"),
        ("Schweiz", "CHE"),
        ("Côte d’Ivoire", "CIV"),
        ("Cote D'Ivoire", "CIV"),
        ("Republic of Korea", "KOR"),
        ("Korea, Republic of", "KOR"),
        ("Korea, Democratic People's Republic of", "PRK"),
        ("St. Lucia", "LCA"),
        ("Bosnia & Herzegovina", "BIH"),
        ("Trinidad and Tobago", "TTO"),
        ("Türkiye", "TUR"),
        ("中国", "CHN"),
        ("대한민국", "KOR"),
        ("Ελλάδα", "GRC"),
        ("Россия", "RUS"),
        ("Viet Nam", "VNM"),
        ("Congo, Democratic Republic of the", "COD"),
        ("Republic of the Congo", "COG"),
        ("Taiwan", "TWN"),
        ("Czech Republic", "CZE"),
    ],
)
def test_a_country_is_recognised(text: str, alpha3: str) -> None:
    assert CountryBook().id_of(text) == alpha3


@pytest.mark.parametrize("text", ["", "Atlantis", "Korea", "XX", "Europe", "???"])
def test_what_is_no_country_is_not_guessed(text: str) -> None:
    assert CountryBook().id_of(text) is None
    assert find_country(text) is None


def test_a_tenant_may_use_alpha_2_and_its_own_ids() -> None:
    book = CountryBook("alpha-2", {"Germany": "D", "Kosovo": "XKX"})
    assert book.id_of("France") == "FR"
    assert [book.id_of(text) for text in ("DE", "DEU", "Allemagne")] == ["D", "D", "D"]
    assert book.id_of("kosovo") == "XKX"
    assert book.iso_of("Deutschland") == "DE"
    assert book.iso_of("Kosovo") is None


def test_states_are_complete_and_fit_their_field() -> None:
    assert {country: len(states) for country, states in STATES.items()} == {
        "US": 60, "CA": 13, "AU": 8, "BR": 27,
    }  # fmt: skip
    assert all(len(code) <= 10 for states in STATES.values() for code in states)


def test_no_spelling_means_two_states_of_a_country() -> None:
    for country, states in STATES.items():
        assert len({signature(text) for pair in states.items() for text in pair}) == 2 * len(states)
        for code, name in states.items():
            assert StateBook().id_of(country, name) == StateBook().id_of(country, code) == code


def test_the_tenants_own_states_come_first() -> None:
    book = StateBook({"DE": {"Bayern": "BY"}, "US": {"California": "CALIF"}})
    assert book.id_of("DE", "BAYERN") == "BY"
    assert book.id_of("US", "California") == "CALIF"
    assert book.id_of("US", "Texas") == "TX"
    assert book.id_of("FR", "Bretagne") is None
