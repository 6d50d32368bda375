"""The app settings and the mapping file, as far as they can be read.

With a wrong setting the app does not start at all. Here the rest goes on: what is wrong keeps its default,
or a stand-in, and is in `broken`, so that only the checks that need it are left out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic import AliasChoices, ValidationError
from pydantic_core import PydanticUndefined

from integration.cli.checks.needs import mapped_accounts
from integration.errors import ConfigurationError
from integration.mapping.contacts import contact_mapping
from integration.mapping.customisation import Customisation
from integration.settings import Settings, load_settings
from integration.wiring import read_customisation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.cli.settings_file import Unresolved
    from integration.settings.base import Group

MAPPING_FILE = "MAPPING_FILE"
_STAND_INS = {"since": "1970-01-01", "base_url": "https://not-set.invalid"}
_STAND_IN = "none"  # fits the length of a company, too
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Given:
    """`problems` of the settings and of the mapping file, one sentence each; `broken` names of settings.

    `unresolved` are settings that refer to a secret of the vault which could not be read.
    """

    settings: Settings
    customisation: Customisation
    problems: list[str] = field(default_factory=list)
    mapping_problems: list[str] = field(default_factory=list)
    unresolved: Mapping[str, Unresolved] = field(default_factory=dict)

    @property
    def broken(self) -> frozenset[str]:
        names = {problem.partition(":")[0] for problem in self.problems} | set(self.unresolved)
        names |= {MAPPING_FILE} if self.mapping_problems else set()
        return frozenset(name for name in names if _NAME.fullmatch(name))


def read_given(unresolved: Mapping[str, Unresolved] | None = None) -> Given:
    unresolved = unresolved or {}
    problems: list[str] = []
    try:
        settings = load_settings()
    except ConfigurationError as error:
        # Of these it is known better what is wrong.
        problems = [text for text in error.problems if text.partition(":")[0] not in unresolved]
        settings = _usable()
    try:
        customisation = read_customisation(settings.app.mapping_file)
        _fit(settings, customisation)
    except ConfigurationError as error:
        return Given(settings, Customisation(), problems, error.problems, unresolved)
    return Given(settings, customisation, problems, [], unresolved)


def _fit(settings: Settings, customisation: Customisation) -> None:
    """Raises ConfigurationError where the file maps a field that a setting names already."""
    mapped_accounts(settings, customisation)
    contact_mapping(
        customisation,
        contact_id_field=settings.d365.salesforce_contact_id_field,
        contact_number_field=settings.salesforce.contact_number_field,
    )


def _usable() -> Settings:
    groups = {
        name: _repaired(info.annotation, {})  # type: ignore[arg-type]
        for name, info in Settings.model_fields.items()
    }
    return Settings.model_validate(groups)


def _repaired(group: type[Group], given: dict[str, Any]) -> Group:
    """The group with a default for each wrong value, and a stand-in where there is none."""
    try:
        return group(**given)
    except ValidationError as error:
        places = {str(item["loc"][0]) for item in error.errors(include_url=False) if item["loc"]}
    repaired = dict(given)
    for name, info in group.model_fields.items():
        key = _key(name, info.validation_alias)
        if {name, key} & places:
            default = info.get_default(call_default_factory=True)
            use_default = key not in given and default not in (None, PydanticUndefined)
            repaired[key] = default if use_default else _STAND_INS.get(name, _STAND_IN)
    if repaired == given:  # a setting that no stand-in fits is a defect of this module
        raise ConfigurationError([f"{group.__name__} cannot be read"])
    return _repaired(group, repaired)


def _key(name: str, alias: object) -> str:
    """What the constructor of a group calls a field."""
    match alias:
        case None:
            return name
        case AliasChoices(choices=[first, *_]):
            return str(first)
    return str(alias)
