"""The documentation is true: generated pages are current, links lead somewhere, commands exist."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "infra" / "README.md", *(ROOT / "docs").glob("*.md")])


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.documents())


def test_generated_pages_are_what_the_code_says() -> None:
    stale = [
        name
        for name, text in generated().items()
        if (ROOT / "docs" / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_command_in_the_readme_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"make ([a-z]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    assert named <= targets


def test_every_setting_named_in_a_page_exists() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    sample = (ROOT / "local.settings.sample.json").read_text(encoding="utf-8")
    package = (ROOT / "salesforce" / "sfdx-project.json").read_text(encoding="utf-8")
    known = {
        *re.findall(r"`([A-Z][A-Z0-9_]+)`", settings),
        *re.findall(r'"([A-Z_0-9]+)"', sample + package),
    }
    prefixes = (
        r"(?:FLOW|SALESFORCE|D365|WEBHOOK|RETRY|ORDERS?|PAYMENTS|PRICES|RECONCILE|STOCK|CUSTOMERS?)"
    )
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = set(re.findall(rf"`({prefixes}_[A-Z0-9_]*[A-Z0-9])[`=]", text))
        assert named <= known, page.name
