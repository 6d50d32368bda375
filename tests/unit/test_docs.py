"""The documentation is true: generated pages are current, links lead somewhere, commands exist."""

import importlib.util
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *(ROOT / name for name in ("README.md", "SECURITY.md", "CHANGELOG.md")),
        *(ROOT / folder / "README.md" for folder in ("infra", "d365")),
        *(ROOT / "docs").glob("*.md"),
    ]
)
FOLDERS = ("integration", "infra", "sandbox", "salesforce", "d365", "tests", "docs", "bench")
_LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def generated() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.documents())


@cache
def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def anchors(page: Path) -> set[str]:
    """As GitHub names them: lower case, blanks as hyphens, other marks left out, repeats numbered."""
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    seen: Counter[str] = Counter()
    found = set()
    for heading in re.findall(r"^#+ (.+?)\s*$", text, re.MULTILINE):
        bare = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w -]", "", bare.lower()).replace(" ", "-")
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def code(page: Path) -> str:
    """What stands in backticks, in fences and in indented lines: what somebody may type."""
    text = read(page)
    fences = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    indented = re.findall(r"^(?: {4,}|\t)(\S.*)$", text, re.MULTILINE)
    return "\n".join([*fences, *indented, *re.findall(r"`([^`\n]+)`", text)])


def test_generated_pages_are_what_the_code_says() -> None:
    stale = [
        name
        for name, text in generated().items()
        if (ROOT / "docs" / name).read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `make docs`"


@every_page
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page: Path) -> None:
    dead = []
    for link, anchor in _LINK.findall(read(page)):
        target = (page.parent / link).resolve() if link else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(f"{link}#{anchor}")
    assert dead == []


def test_every_page_can_be_found_from_the_readme() -> None:
    known, open_ = set(), [ROOT / "README.md"]
    while open_:
        page = open_.pop()
        if page in known or page.suffix != ".md" or not page.exists():
            continue
        known.add(page)
        open_ += [(page.parent / link).resolve() for link, _ in _LINK.findall(read(page)) if link]
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in known] == []


@every_page
def test_every_make_command_of_a_page_is_a_target(page: Path) -> None:
    targets = set(re.findall(r"^([\w-]+):", read(ROOT / "Makefile"), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z][\w-]*)", code(page))) <= targets


@every_page
def test_every_module_that_a_page_runs_exists(page: Path) -> None:
    ours = [
        name for name in re.findall(r"-m ([\w.]+)", code(page)) if name.split(".")[0] in FOLDERS
    ]
    paths = [ROOT / name.replace(".", "/") for name in ours]
    missing = [
        path.name
        for path in paths
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file()
    ]
    assert missing == []


@every_page
def test_every_path_that_a_page_names_exists(page: Path) -> None:
    missing = []
    for path in re.findall(rf"(?<![\w./:@-])((?:{'|'.join(FOLDERS)})/[\w./*-]*)", code(page)):
        if not list(ROOT.glob(path.rstrip("./"))):
            missing.append(path)
    assert missing == []


def test_the_checks_see_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `page`, of 2\n\n## Again\n\n## Again\n\n```sh\n# no heading\nmake nothing\n```\n\n"
        "    python -m infra.nothing\n\nSee [that](#again-2) and `docs/nothing.md`.\n"
    )
    assert anchors(page) == {"a-page-of-2", "again", "again-1"}
    with pytest.raises(AssertionError, match="again-2"):
        test_every_link_of_a_page_leads_to_a_file_and_a_heading(page)
    with pytest.raises(AssertionError, match="nothing"):
        test_every_make_command_of_a_page_is_a_target(page)
    with pytest.raises(AssertionError, match="nothing"):
        test_every_module_that_a_page_runs_exists(page)
    with pytest.raises(AssertionError, match="nothing"):
        test_every_path_that_a_page_names_exists(page)
