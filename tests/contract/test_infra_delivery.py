"""Workflows, updates and the probe fit the repository that they work on."""

from __future__ import annotations

import json
import re
import threading
import tomllib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from infra import probe
from infra.checks.template import Template
from infra.parameters import PARAMETERS, functions, setting_names
from tests.contract.infra_support import INFRA, PROJECT, deployed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKFLOWS = {
    file.stem: yaml.safe_load(file.read_text(encoding="utf-8"))
    for file in sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
}
MAIN = Template.read(INFRA / "main.bicep")


def steps(workflow: str) -> list[dict[str, Any]]:
    return [step for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"]]


def commands() -> str:
    return "\n".join(step.get("run", "") for name in WORKFLOWS for step in steps(name))


def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_tests_run_on_every_python_that_can_be_deployed() -> None:
    matrix = WORKFLOWS["test"]["jobs"]["test"]["strategy"]["matrix"]["python"]
    (allowed,) = (
        node for node in MAIN.of("param")["pythonVersion"].decorators if b"allowed" in node.text
    )
    assert re.findall(r"'([\d.]+)'", allowed.text.decode()) == matrix
    assert project()["requires-python"] == f">={matrix[0]},<3.{int(matrix[-1].split('.')[1]) + 1}"


def test_workflows_call_targets_and_modules_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"^\s*make (\w+)", commands(), re.MULTILINE)) <= targets
    for module in re.findall(r"-m ([\w.]+)", commands()):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module


def test_workflows_hold_no_secret_and_may_do_little() -> None:
    for file in (PROJECT / ".github" / "workflows").glob("*.yml"):
        assert "secrets." not in file.read_text(encoding="utf-8"), file.name
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"]["contents"] == "read", name
    signed = {
        name for name, text in WORKFLOWS.items() if "id-token" in json.dumps(text, default=str)
    }
    assert signed == {"deploy", "infra"}
    assert WORKFLOWS["infra"]["permissions"] == {"contents": "read"}


def test_the_deployment_uses_outputs_that_the_template_has() -> None:
    (step,) = (step for step in steps("deploy") if step.get("name") == "Probe")
    named = set(re.findall(r"\$([A-Z_]+)", step["run"]))
    assert named == {"AZURE_RESOURCE_GROUP", "FUNCTION_APP_NAME", "FUNCTION_APP_URL"}
    assert named <= deployed("smallest").outputs.keys()


def test_every_step_that_changes_azure_comes_after_signing_in() -> None:
    order = [step.get("run", "") for step in steps("deploy")]
    text = "\n".join(order)
    places = [
        text.index(part)
        for part in ("azd auth login", "azd provision", "azd deploy", "infra.probe")
    ]
    assert places == sorted(places)


def test_updates_are_asked_for_where_dependencies_are_named() -> None:
    file = yaml.safe_load((PROJECT / ".github" / "dependabot.yml").read_text(encoding="utf-8"))
    manifests = {"pip": "requirements.txt", "npm": "package.json", "github-actions": ".github"}
    assert {each["package-ecosystem"] for each in file["updates"]} == set(manifests)
    for each in file["updates"]:
        for folder in each.get("directories", [each.get("directory")]):
            assert (PROJECT / folder.strip("/") / manifests[each["package-ecosystem"]]).exists(), (
                folder
            )


def test_azd_builds_the_app_from_this_folder() -> None:
    app = yaml.safe_load((PROJECT / "azure.yaml").read_text(encoding="utf-8"))
    assert app["services"]["app"] == {
        "project": ".", "language": "python", "host": "function", "remoteBuild": True,
    }  # fmt: skip
    assert (PROJECT / app["infra"]["path"] / f"{app['infra']['module']}.bicep").is_file()


def test_every_parameter_has_an_azd_variable_and_its_default_is_the_templates() -> None:
    params = MAIN.of("param")
    assert params.keys() == PARAMETERS.keys() | {"settings", "expectedFunctions"}
    for name, (_, default) in PARAMETERS.items():
        value = params[name].value
        template = None if value is None else value.text.decode().strip("'")
        assert template == default, name


def test_the_changelog_knows_this_version() -> None:
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {project()['version']}" in text


# The set-up guide


@pytest.mark.parametrize(
    "page", ["setup-azure.md", "costs-and-limits.md", "security.md", "runbook.md"]
)
def test_a_page_names_only_variables_and_modules_that_exist(page: str) -> None:
    text = (PROJECT / "docs" / page).read_text(encoding="utf-8")
    azd = {"AZURE_LOCATION", "AZURE_ENV_NAME", "AZURE_SUBSCRIPTION_ID"}
    known = {variable for variable, _ in PARAMETERS.values()} | setting_names().keys() | azd
    set_ = set(re.findall(r"azd env set (\w+)", text))
    assert {name for name in set_ if name not in known and not name.endswith("_SCHEDULE")} == set()
    for module in re.findall(r"-m (infra[\w.]*)", text):
        assert (PROJECT / f"{module.replace('.', '/')}.py").is_file(), module


def test_the_guide_says_how_to_set_every_secret() -> None:
    text = (PROJECT / "docs" / "setup-azure.md").read_text(encoding="utf-8")
    secrets = {name for name, is_secret in setting_names().items() if is_secret and name.isupper()}
    assert {name for name in secrets if name.lower().replace("_", "-") not in text} == set()


# The probe


@contextmanager
def health(status: int, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/api/health"
            self.send_response(status if found else 404)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def azure_cli(folder: Path, names: list[str], *, fails: bool = False) -> None:
    """An `az` that answers as `az functionapp function list` does."""
    answer = json.dumps([{"name": f"func-abc/{name}"} for name in names])
    end = "echo 'not signed in' >&2; exit 1" if fails else f"cat <<'END'\n{answer}\nEND"
    (folder / "az").write_text(f"#!/bin/sh\n{end}\n")
    (folder / "az").chmod(0o755)


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    azure_cli(tmp_path, list(functions()))
    return ["--group", "rg", "--app", "func-abc", "--wait", "0.3", "--pause", "0.1", "--url"]


def test_the_probe_is_content_with_a_whole_app(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with health(200, b'{"status": "ok"}') as url:
        assert probe.main([*arguments, url]) == 0
    assert capsys.readouterr().out == "functions: ok\nhealth: ok\n"


def test_the_probe_names_a_missing_function(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    azure_cli(tmp_path, [name for name in functions() if name != "converge_changes"])
    with health(200, b'{"status": "ok"}') as url:
        assert probe.main([*arguments, url]) == 1
    assert "missing ['converge_changes']" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (503, b'{"status": "misconfigured"}', "503"),
        (500, b"", "500"),
        (200, b"<html>", "not answer"),
    ],
)
def test_the_probe_fails_where_the_app_is_not_well(
    arguments: list[str], capsys: pytest.CaptureFixture[str], status: int, body: bytes, said: str
) -> None:
    with health(status, body) as url:
        assert probe.main([*arguments, url]) == 1
    assert said in capsys.readouterr().out


def test_the_probe_says_that_the_azure_cli_is_not_signed_in(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    azure_cli(tmp_path, [], fails=True)
    with health(200, b'{"status": "ok"}') as url:
        assert probe.main([*arguments, url]) == 1
    assert "not signed in" in capsys.readouterr().out
