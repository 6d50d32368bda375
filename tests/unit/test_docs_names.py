"""Names in the documentation are those of the code: settings, variables, functions, queues, quotes."""

import json
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path

import pytest

from infra.checks.template import Template
from infra.parameters import PARAMETERS, functions, setting_names
from sandbox import topology
from tests.contract.infra_support import OF_THE_PLATFORM
from tests.contract.test_bindings import HOST_KEYS
from tests.unit.test_docs import PAGES, ROOT, code, every_page, read

GUIDES = [ROOT / "docs" / f"setup-{name}.md" for name in ("azure", "salesforce", "d365")]
# Words in capitals that are no setting: of Azure, of the workflows, of the two systems' own vocabulary.
OF_THE_TOOLS = {
    "AZURE_LOCATION", "AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID", "AZURE_CLIENT_ID",
    "AZURE_TENANT_ID", "DEPLOY_VARIABLES", "PYTHON_ENABLE_OPENTELEMETRY", "WHAT_IF",
    "SOAK_ROUNDS",
}  # fmt: skip


@cache
def outputs() -> set[str]:
    return set(Template.read(ROOT / "infra" / "main.bicep").of("output"))


@cache
def names() -> set[str]:
    """Everything in capitals that somebody can set, or gets from a deployment."""
    package = json.loads(read(ROOT / "salesforce" / "sfdx-project.json"))
    return {
        *setting_names(),
        *(variable for variable, _ in PARAMETERS.values()),
        *outputs(),
        *OF_THE_PLATFORM,
        *HOST_KEYS,
        *OF_THE_TOOLS,
        *(each["replaceWithEnv"] for each in package["replacements"]),
        *re.findall(r"%(\w+_SCHEDULE)%", (ROOT / "integration/triggers/timers.py").read_text()),
    }


def prefixes() -> str:
    return "|".join(sorted({name.partition("_")[0] for name in names() if "_" in name}))


@every_page
def test_every_setting_named_in_a_page_exists(page: Path) -> None:
    """A word in capitals that begins like a setting is one; others are codes of the two systems."""
    named = set(
        re.findall(rf"(?<![\w@$-])((?:{prefixes()})_[A-Z0-9_]*[A-Z0-9])\b(?!\*)", code(page))
    )
    assert named - names() - CODES == set()


# Status codes of Salesforce, and what stands for an argument of a command.
CODES = {"REQUEST_LIMIT_EXCEEDED", "JOB_ID"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_of_a_shell_command_is_given_before(page: Path) -> None:
    """Outputs come by `azd env get-values`; anything else a command of the same page sets."""
    text = re.sub(r"^```\n.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)  # pictures
    lines = re.findall(r"^(?: {4,})(\S.*)$", text, re.MULTILINE)
    known = outputs() | names()
    for line in lines:
        unquoted = re.sub(r"'[^']*'", "", line)
        used = set(re.findall(r"(?<!\\)\$\{?([A-Za-z_]\w*)", unquoted))
        known |= set(re.findall(r"(?:^|export |for |; )([A-Za-z_]\w*)(?==| in )", line))
        assert used <= known, line


@every_page
def test_every_function_and_queue_that_a_page_names_exists(page: Path) -> None:
    text = read(page)
    assert set(re.findall(r"--function-name (\w+)", text)) <= set(functions())
    queues = {queue.name for queue in topology.queues()}
    assert set(re.findall(r"\bqueues? `([^`<]+)`", text)) <= queues


@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.name)
def test_what_the_doctor_is_quoted_with_is_what_it_says(page: Path) -> None:
    said = "\n".join(
        each.read_text(encoding="utf-8") for each in (ROOT / "integration" / "cli").rglob("*.py")
    )
    said = re.sub(r'"\s*\n\s*f?"', "", said)  # texts that the code writes in parts
    for table in re.findall(
        r"^\| `doctor` says .*\n\|[-|]+\n((?:\|.*\n)+)", read(page), re.MULTILINE
    ):
        for row in table.splitlines():
            quoted = re.sub(r"\(.*", "", row.split("|")[1].strip().split("`")[1])
            for part in re.split(r"…|\b(?:Salesforce\w+Id|CustomersV3 ok)\b", quoted):
                assert part.strip() in said, row


def test_the_guide_registers_every_resource_provider_of_the_templates() -> None:
    guide = read(ROOT / "docs" / "setup-azure.md")
    loop = re.search(r"for provider in ((?:[^;]|\n)+); do", guide)
    assert loop
    listed = set(shlex.split(loop[1].replace("\\\n", " ")))
    used = {
        name
        for file in (ROOT / "infra").rglob("*.bicep")
        for name in re.findall(r"^resource \w+ '(Microsoft\.\w+)/", file.read_text(), re.MULTILINE)
    }
    assert used - {"Microsoft.Authorization", "Microsoft.Resources"} <= listed  # always there
    assert "Microsoft.App" in listed  # what Flex Consumption runs on


def test_the_guide_names_every_variable_of_a_deployment() -> None:
    guide = read(ROOT / "docs" / "setup-azure.md")
    needed = {variable for variable, _ in PARAMETERS.values()} - {"AZURE_ENV_NAME"}
    assert {name for name in needed if not re.search(rf"\b{name}\b", guide)} == set()


# What begins a block that is typed into a shell; others are queries, pictures and tables.
SHELL = ("az", "azd", "curl", "python", ".venv/bin/python", "make", "sf", "git", "openssl", "for",
         "eval", "export", "cd", "ask", "env=", "id=", "client=", "webhook_key=", "tests=", "echo",
         "mkdir", "pip", "npm")  # fmt: skip


def shell_blocks(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^ {4,}\S.*\n(?:[ \t]*\n(?= {4}))?)+", text, re.MULTILINE)
    fences = re.findall(r"^```sh\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)
    return [block for block in [*blocks, *fences] if block.lstrip().startswith(SHELL)]


def test_every_block_for_a_shell_is_one_that_bash_can_read() -> None:
    wrong = []
    for page in PAGES:
        for block in shell_blocks(page):
            filled = re.sub(r"<[a-z][^<>\n]*>", "given", block)
            done = subprocess.run(["bash", "-n"], input=filled, capture_output=True, text=True)
            if done.returncode:
                wrong.append(f"{page.name}: {done.stderr}")
    assert wrong == []
    assert sum(len(shell_blocks(page)) for page in PAGES) > 40


def test_the_page_on_host_json_explains_every_value_that_is_not_the_hosts_own() -> None:
    def leaves(value: object, path: str = "") -> dict[str, object]:
        if not isinstance(value, dict):
            return {path.removeprefix("."): value}
        parts = [leaves(each, f"{path}.{name}") for name, each in value.items()]
        return {name: each for part in parts for name, each in part.items()}

    written = leaves(json.loads(read(ROOT / "host.json")))
    page = read(ROOT / "docs" / "host-json.md")
    named = re.findall(r"^\| `([\w.]+)` \|", page, re.MULTILINE)
    explained = {name: path for name in named for path in written if path.endswith(name)}
    assert sorted(explained) == sorted(named)
    # The host's defaults, written out; what every file holds.
    usual = {"version", "extensionBundle.id", "logging.logLevel.default",
             "extensions.serviceBus.autoCompleteMessages"}  # fmt: skip
    left = written.keys() - set(explained.values()) - usual
    assert {name for name in left if ".clientRetryOptions." not in name} == set()
    for name, path in explained.items():
        if isinstance(written[path], int):
            assert f"| `{name}` | {written[path]} |" in page
