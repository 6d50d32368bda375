"""docs/mapping.md is what the code says."""

from __future__ import annotations

from pathlib import Path

from integration.mapping.accounts import account_table
from integration.mapping.customisation import load_customisation
from integration.mapping.document import mapping_markdown, render

PAGE = Path(__file__).parents[2] / "docs" / "mapping.md"


def test_the_page_is_generated_from_the_tables() -> None:
    again = "run: python -m integration.mapping.document > docs/mapping.md"
    assert PAGE.read_text(encoding="utf-8") == render(), again


def test_every_line_of_the_table_is_on_the_page() -> None:
    table = account_table(load_customisation(None), "SalesforceAccountId")
    page = mapping_markdown(table)
    assert all(f"`{rule.target}`" in page for rule in table.rules)
    assert len({line.count(" | ") for line in page.splitlines() if line.startswith("|")}) == 1
