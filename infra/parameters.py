"""main.parameters.json follows from the code: `python -m infra.parameters` writes it.

Every app setting that is no secret becomes the azd variable of its own name, so that `azd env set
FLOW_ACCOUNTS on` and `azd provision` are all that a change needs. An unset variable is an empty text, which
the app reads as not set: its default counts. EXAMPLES are complete parameters for checks that deploy nothing.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices

from infra.checks.template import Template
from integration.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = Path(__file__).parent / "main.parameters.json"
SAMPLE = Path(__file__).parents[1] / "local.settings.sample.json"

# Parameters of main.bicep of their own, because something depends on their value: azd variable, default.
PARAMETERS: dict[str, tuple[str, str | None]] = {
    "environmentName": ("AZURE_ENV_NAME", None),
    "location": ("AZURE_LOCATION", None),
    "salesforceClientId": ("SALESFORCE_CLIENT_ID", None),
    "salesforceAuth": ("SALESFORCE_AUTH", "jwt"),
    "d365BaseUrl": ("D365_BASE_URL", None),
    "d365Company": ("D365_COMPANY", None),
    "d365Auth": ("D365_AUTH", "managed_identity"),
    "d365ClientId": ("D365_CLIENT_ID", ""),
    "ordersSince": ("ORDERS_SINCE", None),
    "webhookStaticSecret": ("USE_WEBHOOK_STATIC_SECRET", "false"),
    "pythonVersion": ("PYTHON_VERSION", "3.12"),
    "instanceMemoryMB": ("INSTANCE_MEMORY_MB", "2048"),
    "alwaysReadyInstances": ("ALWAYS_READY_INSTANCES", "1"),
    "traceSampling": ("TRACE_SAMPLING", "1.0"),
    "serviceBusSku": ("SERVICE_BUS_SKU", "Standard"),
    "scaleByQueueLength": ("SCALE_BY_QUEUE_LENGTH", "false"),
    "privateNetworking": ("PRIVATE_NETWORKING", "false"),
    "deleteLocks": ("DELETE_LOCKS", "false"),
    "d365BusinessEvents": ("BUSINESS_EVENTS", "false"),
    "d365EventsPrincipalId": ("BUSINESS_EVENTS_PRINCIPAL_ID", ""),
    "operatorPrincipalId": ("OPERATOR_PRINCIPAL_ID", ""),
    "operatorPrincipalType": ("OPERATOR_PRINCIPAL_TYPE", "Group"),
    "alertEmails": ("ALERT_EMAILS", ""),
    "logRetentionDays": ("LOG_RETENTION_DAYS", "90"),
    "logDailyQuotaGb": ("LOG_DAILY_QUOTA_GB", "-1"),
}
# Set by the template from what it creates, or taken from Key Vault.
_OF_THE_TEMPLATE = {
    "ServiceBus",
    "ServiceBus__fullyQualifiedNamespace",
    "ServiceBus__clientId",
    "AzureWebJobsStorage",
    "AzureWebJobsStorage__accountName",
    "AzureWebJobsStorage__clientId",
}


def setting_names() -> dict[str, bool]:
    """Every app setting of the app → whether it is a secret."""
    found: dict[str, bool] = {}
    for group in Settings.model_fields.values():
        kind = group.annotation
        if kind is None:
            raise TypeError("a group of settings without a type")
        prefix = kind.model_config.get("env_prefix", "")
        for name, field in kind.model_fields.items():
            alias = field.validation_alias or f"{prefix}{name}".upper()
            first = alias.choices[0] if isinstance(alias, AliasChoices) else alias
            found[str(first)] = "Secret" in f"{field.annotation}{field.metadata}"
    return found


def schedules() -> dict[str, str]:
    """The timers' schedules have no place in the settings object: the host reads them."""
    values = json.loads(SAMPLE.read_text(encoding="utf-8"))["Values"]
    return {name: value for name, value in values.items() if name.endswith("_SCHEDULE")}


@cache
def functions() -> tuple[str, ...]:
    """The names of the functions of this release, as the host finds them.

    In a process of its own: an app can be indexed only once.
    """
    code = (
        "import function_app\n"
        "for each in function_app.app.get_functions(): print(each.get_function_name())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=FILE.parents[1],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return tuple(sorted(done.stdout.split()))


def settings() -> dict[str, str]:
    """App setting → azd's text for it. A first deployment writes nothing: every flow starts dry."""
    own = {variable for variable, _ in PARAMETERS.values()}
    names = [
        name
        for name, is_secret in setting_names().items()
        if not is_secret and name not in own | _OF_THE_TEMPLATE
    ]
    defaults = {name: "dry" for name in names if name.startswith("FLOW_")} | schedules()
    return {
        name: f"${{{name}={defaults[name]}}}" if name in defaults else f"${{{name}}}"
        for name in sorted({*names, *schedules()})
    }


def document() -> str:
    values: dict[str, Any] = {}
    for name, (variable, default) in PARAMETERS.items():
        text = f"${{{variable}}}" if default in (None, "") else f"${{{variable}={default}}}"
        values[name] = {"value": text}
    values["expectedFunctions"] = {"value": len(functions())}
    values["settings"] = {"value": settings()}
    schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#"
    whole = {"$schema": schema, "contentVersion": "1.0.0.0", "parameters": values}
    return json.dumps(whole, indent=2) + "\n"


def parameters(variables: Mapping[str, str]) -> dict[str, Any]:
    """What azd makes of the file with these variables, types by the template."""
    known = Template.read(FILE.with_name("main.bicep")).of("param")
    given = json.loads(_substituted(FILE.read_text(encoding="utf-8"), variables))["parameters"]
    return {name: _typed(each["value"], known[name].type) for name, each in given.items()}


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        return variables.get(found[1]) or (found[2] or "").removeprefix("=")

    return re.sub(r"\$\{(\w+)(=[^}]*)?\}", value, text)


def _typed(value: Any, kind: str) -> Any:
    if not isinstance(value, str) or kind == "string":
        return value
    return json.loads(value)


_NEEDED = {
    "AZURE_ENV_NAME": "test",
    "AZURE_LOCATION": "westeurope",
    "SALESFORCE_CLIENT_ID": "3MVG9.example",
    "SALESFORCE_USERNAME": "integration@example.com",
    "D365_BASE_URL": "https://contoso.operations.dynamics.com",
    "D365_COMPANY": "usmf",
    "ORDERS_SINCE": "2026-01-01",
}
# azd variables of the least and of the largest deployment.
EXAMPLES: dict[str, dict[str, str]] = {
    "smallest": _NEEDED,
    "everything": {
        **_NEEDED,
        "PYTHON_VERSION": "3.13",
        "SALESFORCE_AUTH": "client_credentials",
        "D365_AUTH": "certificate",
        "D365_TENANT_ID": "55555555-5555-5555-5555-555555555555",
        "D365_CLIENT_ID": "22222222-2222-2222-2222-222222222222",
        "PRIVATE_NETWORKING": "true",
        "DELETE_LOCKS": "true",
        "SCALE_BY_QUEUE_LENGTH": "true",
        "USE_WEBHOOK_STATIC_SECRET": "true",
        "BUSINESS_EVENTS": "true",
        "BUSINESS_EVENTS_PRINCIPAL_ID": "33333333-3333-3333-3333-333333333333",
        "OPERATOR_PRINCIPAL_ID": "44444444-4444-4444-4444-444444444444",
        "ALERT_EMAILS": "duty@example.com, second@example.com",
        "WEBHOOK_CLIENT_THUMBPRINTS": "ab:cd",
        "FLOW_ACCOUNTS": "on",
    },
}


def main() -> int:
    FILE.write_text(document(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
