"""How the commands speak, ask, and are found."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from integration.cli import asking
from integration.cli.commands import build
from integration.cli.main import main
from integration.cli.manual import commands, examples
from integration.cli.output import WIDTH, Column, Output
from integration.cli.problems import CommandFailed, WrongUse, problem_of
from integration.errors import ConfigurationError, Throttled

ROOT = Path(__file__).parents[2]
FOREIGN = {".venv", "node_modules", ".git", ".sandbox"}
PAGES = sorted(page for page in ROOT.rglob("*.md") if not FOREIGN & set(page.parts))


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
    ("answer", "goes_on"),
    [("y\n", True), ("Yes\n", True), ("\n", False), ("n\n", False), ("", False)],
)
def test_at_a_terminal_only_a_yes_goes_on(
    monkeypatch: pytest.MonkeyPatch, answer: str, goes_on: bool
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
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
        assert code == 2
        assert "local.settings.json" in json.loads(out)["error"]["next"]


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
        ("integration explain op", "opportunity"),
        ("integration backfill pa", "payments"),
        ("integration dead-letters list --kind un", "undecodable"),
    ):
        result = run(
            code,
            _INTEGRATION_COMPLETE="complete_bash",
            COMP_WORDS=words,
            COMP_CWORD=str(len(words.split()) - 1),
        )
        assert expected in result.stdout, result.stderr
    shown = run(code.replace("main()", "main(['--show-completion', 'bash'])"))
    assert "complete -o default -F _integration_completion integration" in shown.stdout


def test_what_is_no_command_of_its_own_cannot_be_completed_and_says_so() -> None:
    code, out, err = said("--install-completion")
    assert (code, out) == (2, "")
    assert "`integration --install-completion`" in err
    assert "--install-completion" not in said("--help")[1]


def test_a_reader_that_has_enough_ends_a_command_quietly() -> None:
    many = "import sys; from integration.cli.output import Output; out = Output(as_json=False)\n"
    many += "for _ in range(20_000): out.line('a line')"
    code = f"from integration.cli import main\nmain._main = lambda _: exec({many!r})\n"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nimport sys; sys.exit(main.main([]))"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"a line\n"
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(20) == 1


def test_letters_that_a_terminal_does_not_know_are_replaced() -> None:
    code = "from integration.cli.main import main; import sys; sys.exit(main(['explain', '→']))"
    result = run(code, PYTHONIOENCODING="ascii")
    assert result.returncode == 2
    assert "there is no object ?" in result.stderr
