"""Writes the documentation that follows from the code; `--check` only compares.

docs/mapping.md                  the mapping tables
docs/settings.md                 every app setting
docs/salesforce-event.schema.json   the webhook's JSON envelope
docs/openapi.json                what /api/openapi.json answers, for an app of another name
docs/commands.md                 the operators' commands
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))


def documents() -> dict[str, str]:
    """File name → what it must hold."""
    from integration.mapping.document import render

    return {
        "mapping.md": render(),
        "settings.md": settings_page(),
        "salesforce-event.schema.json": event_schema(),
        "openapi.json": openapi_document(),
        "commands.md": commands_page(),
    }


def openapi_document() -> str:
    from integration.triggers.openapi import document

    return json.dumps(document("https://your-app.azurewebsites.net"), indent=2) + "\n"


def commands_page() -> str:
    from integration.cli.manual import manual

    return manual()


def event_schema() -> str:
    from integration.salesforce.events import ENVELOPE

    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "salesforce-event.schema.json",
        **ENVELOPE.json_schema(),
    }
    return json.dumps(schema, indent=2) + "\n"


def settings_page() -> str:
    from integration.settings import Settings

    lines = [
        "# App settings",
        "",
        "Generated from the code. An empty value counts as not set. All mistakes are reported together",
        "when the app starts.",
    ]
    for group in Settings.model_fields.values():
        kind = group.annotation
        title = (kind.__doc__ or "").partition("\n")[0] if kind.__dict__.get("__doc__") else ""
        heading = kind.__name__.removesuffix("Settings")
        lines += ["", f"## {heading}", "", *([title, ""] if title else [])]
        lines += ["| App setting | Default | Meaning |", "|---|---|---|"]
        lines += [_setting_row(kind, name, info) for name, info in kind.model_fields.items()]
    return "\n".join(lines) + "\n"


def _setting_row(kind: Any, name: str, info: Any) -> str:
    alias = info.validation_alias
    first = getattr(alias, "choices", [alias])[0]
    setting = first or f"{kind.model_config.get('env_prefix', '')}{name}".upper()
    if info.is_required():
        default = "**needed**"
    elif info.default in (None, (), "") or info.default == {}:
        default = ""
    else:
        default = f"`{info.default}`"
    meaning = (info.description or "").replace("|", "\\|")
    return f"| `{setting}` | {default} | {meaning} |"


def main(arguments: list[str]) -> int:
    stale = []
    for name, text in documents().items():
        path = DOCS / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    if "--check" in arguments and stale:
        print("out of date, run `make docs`: " + ", ".join(stale))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
