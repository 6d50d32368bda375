"""What every execution of data management works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.dmf.entities import PackageEntity
    from sandbox.d365.dmf.projects import Projects
    from sandbox.d365.dmf.settings import PackageSettings
    from sandbox.d365.dmf.storage import PackageStorage
    from sandbox.d365.environment import Environment


@dataclass(frozen=True)
class Framework:
    environment: Environment
    settings: PackageSettings
    storage: PackageStorage
    entities: Mapping[str, PackageEntity]
    projects: Projects
