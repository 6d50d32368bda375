"""How the commands speak, ask, and are found."""

import contextlib
import io
import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from integration.cli import asking
from integration.cli.commands import build
from integration.cli.main import main
from integration.cli.manual import commands, examples
from integration.cli.output import WIDTH, Column, Output
from integration.cli.problems import CommandFailed, WrongUse, problem_of
from integration.cli.settings_file import resolve_secrets, use_settings
from integration.errors import ConfigurationError, Throttled

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


def said(*arguments: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return code, out.getvalue(), err.getvalue()


def test_a_table_is_plain_text_of_100_columns_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = Output(as_json=False)
    rows = [("001Aa00000BbCc1IAF", 3, "a long description " * 12), ("x", 12, None)]
    out.table((Column("id", True), Column("n", number=True), "text"), rows, title="Some")
    out.facts([("name", "[bold]kept as it is[/bold] :smile:"), ("nothing", None)])
    out.line("word " * 60)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= WIDTH
    assert "\x1b" not in text
    assert text.splitlines()[0] == "Some"
    assert text.splitlines()[1].split() == ["id", "n", "text"]
    assert "[bold]kept as it is[/bold] :smile:" in text
    assert "nothing" not in text
    assert not [line for line in text.splitlines() if line != line.rstrip()]


def test_as_json_nothing_but_the_document_is_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.line("a sentence")
    out.table(("a",), [("b",)])
    out.facts([("a", "b")])
    out.document({"answer": 42})
    out.failed(problem_of(CommandFailed("it broke later", "look")))
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"answer": 42}
    assert "it broke later" in captured.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (CommandFailed("no such run", "list them"), 1, "no such run\nnext: list them"),
        (WrongUse("no such kind", "one of"), 2, "no such kind\nnext: one of"),
        (ConfigurationError(["X: is missing"]), 2, "X: is missing\nnext: correct these"),
        (Throttled("slow down", system="d365"), 1, "d365: slow down (throttled)\nnext: wait"),
        (FileNotFoundError(2, "No such file", "x.csv"), 1, "No such file: x.csv\nnext: check"),
        (KeyError("secret value"), 1, "unexpected KeyError\nnext: run it again with --debug"),
    ],
)
def test_every_failure_is_a_sentence_with_its_cause_and_a_next_step(
    error: Exception, code: int, words: str
) -> None:
    problem = problem_of(error)
    assert problem.code == code
    assert words in problem.text
    assert "secret value" not in problem.text


def test_nobody_is_asked_where_there_is_no_terminal() -> None:
    out = Output(as_json=False)
    with pytest.raises(WrongUse, match="--yes"):
        asking.confirm(out, "Sure?", yes=False)
    asking.confirm(out, "Sure?", yes=True)
    with pytest.raises(WrongUse, match="--why"):
        asking.reason(out, " ")
    assert asking.reason(out, " because ") == "because"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("answer", "goes_on"), [("y", True), ("Yes", True), ("", False), ("n", False)]
)
def test_at_a_terminal_only_a_yes_goes_on(
    monkeypatch: pytest.MonkeyPatch, answer: str, goes_on: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    monkeypatch.setattr(sys, "stderr", Terminal())
    expected = (
        contextlib.nullcontext() if goes_on else pytest.raises(CommandFailed, match="nothing")
    )
    with expected:
        asking.confirm(Output(as_json=False), "Sure?", yes=False)


def test_a_terminal_gets_a_drawn_table_and_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    screen, side = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setattr(sys, "stderr", side)
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Output(as_json=False)
    out.table(("flow",), [("accounts",)])
    with out.progress("reading", 2) as bar:
        bar.to("1 read", 1)
    assert "─" in screen.getvalue()
    assert "reading" in side.getvalue()


# The command line


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["sync", "account", "--nonsense"], ["sync"], ["explain", "nothing"]]
)
def test_wrong_use_is_exit_code_2_and_says_what_is_wrong(arguments: list[str]) -> None:
    code, out, err = said(*arguments)
    assert (code, out) == (2, "")
    assert "nonsense" in err or "OBJECT" in err or "there is no object nothing" in err


def test_without_settings_every_missing_one_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SALESFORCE_", "D365_", "ORDERS_", "AzureWebJobs", "ServiceBus")):
            monkeypatch.delenv(name)
    code, out, err = said("status", "--json")
    assert code == 2
    assert "SALESFORCE_CLIENT_ID" in err
    assert "D365_BASE_URL" in err
    assert json.loads(out)["error"]["reason"] == "configuration"


def test_shared_options_may_stand_before_the_command_too(tmp_path: Path) -> None:
    missing = tmp_path / "none.json"
    for arguments in (
        ["--settings", str(missing), "--json", "limits"],
        ["limits", "--json", "--settings", str(missing)],
    ):
        code, out, _ = said(*arguments)
        assert code == 1
        assert "local.settings.sample.json" in json.loads(out)["error"]["next"]


def test_every_command_has_a_help_text_with_examples_that_fits() -> None:
    for path, node in commands(build()):
        code, out, _ = said(*path, "--help")
        assert code == 0
        assert examples(node), path
        assert all(example.startswith(" ".join(path)) for example in examples(node)), path
        long = [
            line for line in out.splitlines() if len(line) > WIDTH and "integration" not in line
        ]
        assert long == []


def test_every_command_that_a_page_names_exists_with_its_options() -> None:
    known = {" ".join(path): node for path, node in commands(build())}
    groups = {path.split()[0] for path in known if " " in path}
    named = 0
    for page in PAGES:
        for line in re.findall(
            r"(?:python -m integration) ([a-z][^`\n]*)", page.read_text("utf-8")
        ):
            words = line.split()
            path = next((p for p in (" ".join(words[:2]), words[0]) if p in known), None)
            if path is None and words[0] in groups and len(words) == 1:
                continue  # a sentence about all of them
            assert path is not None, f"{page.name}: {line}"
            options = {option for each in known[path].params for option in _names(each)}
            used = set(re.findall(r"(?<!\S)(--[a-z-]+)", line))
            assert used <= options, f"{page.name}: {line}"
            named += 1
    assert named > 30


def _names(parameter: Any) -> list[str]:
    return [*parameter.opts, *parameter.secondary_opts]


def test_the_runbook_names_the_commands_of_the_person_on_duty() -> None:
    runbook = (ROOT / "docs" / "runbook.md").read_text("utf-8")
    for path, _ in commands(build()):
        if path[0] in ("status", "doctor", "dead-letters", "sync", "explain", "limits", "jobs"):
            assert f"integration {' '.join(path)}" in runbook, path


# The package


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )


def test_the_app_never_loads_what_only_operators_need() -> None:
    loaded = "import function_app, sys; print([m for m in sys.modules if m in"
    result = run(f"{loaded} ('typer', 'rich', 'integration.cli')])")
    assert result.stdout.strip() == "[]", result.stderr
    sources = [
        path
        for path in (ROOT / "integration").rglob("*.py")
        if "cli" not in path.parts
        and re.search(r"\b(?:import|from) (?:typer|rich)\b", path.read_text())
    ]
    assert sources == []


def test_without_the_optional_packages_the_command_says_how_to_get_them() -> None:
    result = run(
        "import sys; sys.modules['typer'] = None\n"
        "from integration.cli.main import main; sys.exit(main([]))"
    )
    assert result.returncode == 2
    assert "pip install '.[operate]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_shell_completes_commands_and_options() -> None:
    code = (
        "import sys; sys.argv[0] = 'integration'\n"
        "from integration.cli.main import main\nsys.exit(main())"
    )
    for words, expected in (
        ("integration dead-", "dead-letters"),
        ("integration sync --dr", "--dry-run"),
    ):
        result = run(
            code,
            _INTEGRATION_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
        )
        assert expected in result.stdout, result.stderr


# Settings


def test_settings_come_from_either_form_of_file_and_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local, listed = tmp_path / "local.json", tmp_path / "listed.json"
    local.write_text(json.dumps({"Values": {"CLI_TEST_A": "1", "CLI_TEST_B": "1"}}))
    listed.write_text(
        json.dumps(
            [{"name": f"CLI_TEST_{name}", "value": "2", "slotSetting": False} for name in "BC"]
        )
    )
    monkeypatch.setenv("CLI_TEST_A", "given")
    for name in ("CLI_TEST_B", "CLI_TEST_C"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    use_settings(local)
    use_settings(listed)
    assert [os.environ[f"CLI_TEST_{name}"] for name in "ABC"] == ["given", "1", "2"]


class Vault(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.headers["Authorization"] == "Bearer person"
        found = self.path.startswith("/secrets/private-key?api-version=")
        body = json.dumps({"value": "the key"} if allowed and found else {}).encode()
        self.send_response(200 if allowed and found else 403)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def vault() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Vault) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def signed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `az` that answers as after `az login`."""
    script = tmp_path / "az"
    token = {"accessToken": "person", "expiresOn": "2099-01-01 00:00:00.000000"}
    script.write_text(f"#!/bin/sh\necho '{json.dumps(token)}'\n")
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    monkeypatch.delenv("MSI_ENDPOINT", raising=False)


@pytest.mark.usefixtures("signed_in")
def test_a_reference_to_the_vault_is_read_with_the_sign_in_of_the_person(vault: str) -> None:
    settings = {
        "KEY": f"@Microsoft.KeyVault(SecretUri={vault}/secrets/private-key)",
        "PLAIN": "as it is",
    }
    resolve_secrets(settings)
    assert settings == {"KEY": "the key", "PLAIN": "as it is"}
    with pytest.raises(CommandFailed, match="OTHER cannot be read from the vault"):
        resolve_secrets({"OTHER": f"@Microsoft.KeyVault(SecretUri={vault}/secrets/other)"})
    with pytest.raises(CommandFailed, match="no https address"):
        resolve_secrets({"X": "@Microsoft.KeyVault(SecretUri=http://vault.example/secrets/x)"})


def test_whoever_is_not_signed_in_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("IDENTITY_ENDPOINT", raising=False)
    with pytest.raises(CommandFailed, match="az login"):
        resolve_secrets({"X": "@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/x)"})
