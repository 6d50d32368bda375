"""Checks the templates without a subscription and without a compiler: `python -m infra.check`.

Says what is wrong, one line each, and exits with 1; with 0 when nothing is. Only the real compiler knows the
types of properties: `az bicep build --file infra/main.bicep`, which the workflow `infra` runs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from infra.checks.evaluation import EvaluationError, deploy
from infra.checks.rules import check
from infra.checks.template import UnknownConstruct
from infra.parameters import EXAMPLES, parameters

INFRA = Path(__file__).parent


def templates() -> list[Path]:
    return [INFRA / "main.bicep", *sorted((INFRA / "modules").glob("*.bicep"))]


def findings() -> list[str]:
    found = check(templates())
    if found:
        return found
    for name, variables in EXAMPLES.items():
        try:
            deployment = deploy(parameters(variables))
            ids = [resource.id for resource in deployment.resources]
            found += [f"{name}: {each} is declared twice" for each in ids if ids.count(each) > 1]
            found += [
                f"{name}: output {key} is empty"
                for key, value in deployment.outputs.items()
                if value is None
            ]
        except (EvaluationError, UnknownConstruct) as error:
            found.append(f"{name}: {error}")
    return found


def main() -> int:
    found = findings()
    print("\n".join(found) if found else f"{len(templates())} templates are in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
