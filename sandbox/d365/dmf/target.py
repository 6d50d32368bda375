"""From staging to the target: rows are upserted through the rules that OData writes obey."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sandbox.d365 import writes
from sandbox.d365.errors import ODataError
from sandbox.d365.model import COMPANY

if TYPE_CHECKING:
    from sandbox.d365.dmf.entities import PackageEntity
    from sandbox.d365.environment import Environment
    from sandbox.d365.store import Key

_FIELD = re.compile(r"validateField failed on field '\w+\.(\w+)'")
_CONSEQUENCE = re.compile(r"\w+: validate(Field|Write) failed on ")
_PREFIX = re.compile(r"^(Info|Warning|Error): ")


class Refused(Exception):
    """`reasons`: (staging field or empty, words) of one row."""

    def __init__(self, *reasons: tuple[str, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


class Target:
    """An existing key is updated, a new one inserted (F&O contract 6.5).

    An empty cell leaves a new row at its default and clears an existing one.
    """

    def __init__(
        self,
        environment: Environment,
        entity: PackageEntity,
        company: str,
        auto_generated: set[str],
        *,
        always_draw: bool,
    ) -> None:
        self._environment = environment
        self._entity = entity.entity
        self._table = environment.store.table(entity.entity)
        self._company = company
        sequence = entity.entity.sequence
        self._number = sequence.field if sequence else ""
        self._drawn = self._number in auto_generated
        self._always_draw = always_draw and self._drawn

    def key_of(self, values: dict[str, Any]) -> Key | None:
        """The row's key, None where the number sequence will give it."""
        if self._always_draw or (self._number and not values.get(self._number)):
            return None
        given = {**values, COMPANY: self._company} if self._entity.per_company else values
        return self._table.key_of(given)

    def write(self, values: dict[str, Any], empty: list[str], key: Key | None) -> bool:
        """True where a row was inserted; raises Refused."""
        if key is None and not self._drawn:
            label = self._entity.properties[self._number].label
            raise Refused((self._number.upper(), f"Field '{label}' must be filled in."))
        try:
            with self._environment.store.transaction():  # the row's own savepoint
                if key is not None and key in self._table.rows:
                    self._update(values, empty, key)
                    return False
                self._insert(values, key)
        except ODataError as error:
            raise Refused(*_reasons(error)) from error
        return True

    def _insert(self, values: dict[str, Any], key: Key | None) -> None:
        given = dict(values)
        if key is None:
            given.pop(self._number, None)
        if self._entity.per_company:
            given[COMPANY] = self._company
        writes.create(self._environment, self._entity, given, self._company)

    def _update(self, values: dict[str, Any], empty: list[str], key: Key) -> None:
        properties = self._entity.properties
        old = self._table.rows[key].values
        given: dict[str, Any] = {}
        for name in empty:
            if properties[name].editable and properties[name].default is not None:
                given[name] = properties[name].default
        for name, value in values.items():
            if name not in self._entity.key:
                given[name] = value
        defaults = self._table.entity.defaults
        if any(old.get(name, defaults[name]) != value for name, value in given.items()):
            # X++ writes no record that did not change
            writes.update(self._environment, self._entity, key, given, None)


def _reasons(error: ODataError) -> list[tuple[str, str]]:
    """The infolog of a refusal without its consequences."""
    text = str(error)
    _, found, infolog = text.partition("Infolog: ")
    if not found:
        return [("", text)]
    match = _FIELD.search(infolog)
    field = match[1].upper() if match else ""
    items = infolog.removesuffix(".").split("; ")
    causes = [item for item in items if not _CONSEQUENCE.match(item)]
    return [(field, _PREFIX.sub("", item)) for item in causes]
