"""What must be true after a deployment: the functions are there, and the app says that it can work.

    python -m infra.probe --group rg-production --app func-abc --url https://func-abc.azurewebsites.net

Names are compared with those of this working copy, because an import error in Azure shows no function at all
and no other sign. The list comes from the Azure CLI, which must be signed in. Exits with 0 or 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx

from infra.parameters import functions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BETWEEN = 10.0  # seconds between two tries; a rolling update takes about three minutes


def deployed_functions(group: str, app: str) -> set[str]:
    """Raises CalledProcessError where the Azure CLI refuses."""
    command = ["az", "functionapp", "function", "list", "--resource-group", group, "--name", app]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    # The name of the resource is `app/function`.
    return {each["name"].rpartition("/")[2] for each in json.loads(done.stdout)}


def check_functions(group: str, app: str) -> str | None:
    """What is wrong, or None."""
    try:
        found = deployed_functions(group, app)
    except subprocess.CalledProcessError as error:
        return f"the Azure CLI cannot list the functions: {error.stderr.strip()[:500]}"
    expected = set(functions())
    if found == expected:
        return None
    missing, foreign = sorted(expected - found), sorted(found - expected)
    return (
        f"{len(found)} functions instead of {len(expected)}; missing {missing}, unknown {foreign}"
    )


def check_health(url: str) -> str | None:
    """What is wrong, or None."""
    try:
        answer = httpx.get(f"{url.rstrip('/')}/api/health", timeout=30)
        body = answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError) as error:
        return f"health does not answer: {type(error).__name__}"
    if answer.status_code == 503:
        return "health answers 503: the app's log names every wrong setting"
    if body is None:
        return f"health answers {answer.status_code}"
    return None if body.get("status") == "ok" else f"health answers {body}"


def until_right(check: Callable[[], str | None], seconds: float, pause: float) -> str | None:
    """Repeats a check until it finds nothing or the time is over; its last finding."""
    end = time.monotonic() + seconds
    while (wrong := check()) and time.monotonic() + pause < end:
        time.sleep(pause)
    return wrong


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m infra.probe", description=__doc__)
    parser.add_argument("--group", required=True, help="resource group")
    parser.add_argument("--app", required=True, help="name of the function app")
    parser.add_argument("--url", required=True, help="https://<app>.azurewebsites.net")
    parser.add_argument("--wait", type=float, default=600, help="seconds, 600 by default")
    parser.add_argument("--pause", type=float, default=_BETWEEN, help="seconds between tries")
    given = parser.parse_args(arguments)
    failed = False
    checks = {
        "functions": lambda: check_functions(given.group, given.app),
        "health": lambda: check_health(given.url),
    }
    for name, check in checks.items():
        wrong = until_right(check, given.wait, given.pause)
        print(f"{name}: {wrong or 'ok'}")
        failed = failed or wrong is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
