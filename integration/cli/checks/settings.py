"""The rows of the settings, the mapping file, the switches, the webhook and the schedules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from integration.cli.checks.check import Check, failed, not_checked, ok
from integration.cli.checks.given import MAPPING_FILE, Given
from integration.cli.checks.needs import switches
from integration.cli.checks.schedules import check_schedules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.settings import Settings

_PREFIX = re.compile(rf"^(mapping file|{MAPPING_FILE}): ")
_PROOFS = ("WEBHOOK_SECRETS", "WEBHOOK_STATIC_SECRET", "SALESFORCE_ORG_IDS")
_CORRECT = "correct this app setting (docs/settings.md)"


def check_settings(given: Given, environment: Mapping[str, str]) -> list[Check]:
    return [
        *_problems(given),
        *_mapping_file(given),
        ok("flows", _switches(given.settings)),
        _webhook(given),
        *check_schedules(environment),
    ]


def _problems(given: Given) -> list[Check]:
    if not given.problems and not given.unresolved:
        return [ok("app settings", "complete")]
    rows = [failed(name, why.problem, why.step) for name, why in given.unresolved.items()]
    for problem in given.problems:
        name, sign, text = problem.partition(": ")
        named = bool(sign) and name in given.broken
        rows.append(failed(name if named else "app settings", text if named else problem, _CORRECT))
    return rows


def _mapping_file(given: Given) -> list[Check]:
    path = given.settings.app.mapping_file
    if given.mapping_problems:
        step = "correct the file (docs/mapping.md)"
        return [
            failed(MAPPING_FILE, _PREFIX.sub("", problem), step)
            for problem in given.mapping_problems
        ]
    return [ok(MAPPING_FILE, f"{path} is valid" if path else "none; the built-in tables hold")]


def _switches(settings: Settings) -> str:
    by_switch: dict[str, list[str]] = {}
    for flow, switch in switches(settings).items():
        by_switch.setdefault(switch, []).append(flow)
    return "; ".join(f"{switch}: {', '.join(flows)}" for switch, flows in by_switch.items())


def _webhook(given: Given) -> Check:
    """What the webhook accepts; without any proof it refuses every call (Salesforce contract 8)."""
    settings = given.settings
    if wrong := sorted(given.broken & set(_PROOFS)):
        return not_checked("webhook", f"needs {', '.join(wrong)}")
    proofs = []
    if settings.webhook.secrets:
        proofs.append("signed JSON")
    if settings.webhook.static_secret:
        proofs.append("JSON with the static secret")
    if settings.salesforce.org_ids:
        proofs.append("Outbound Messages")
    if not proofs:
        return failed(
            "webhook",
            "accepts no event: there is neither a secret nor an organisation",
            "set WEBHOOK_SECRETS for signed JSON, SALESFORCE_ORG_IDS for Outbound Messages",
        )
    return ok("webhook", f"accepts {', '.join(proofs)}")
