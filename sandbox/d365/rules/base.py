"""The seam between the write pipeline and the rules of one entity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import ODataError, write_failed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.environment import Environment
    from sandbox.d365.model import Entity
    from sandbox.d365.store import Row


@dataclass
class Write:
    """A row on its way into the table. `given`: what the client sent; `old`: None on create."""

    environment: Environment
    entity: Entity
    company: str
    values: dict[str, Any]
    given: Mapping[str, Any]
    old: Row | None = None

    def __post_init__(self) -> None:
        # Rules fill properties a view such as SalesOrderLines hides, so the table's own entity counts
        self.defaults = self.environment.store.table(self.entity).entity.defaults

    def get(self, name: str) -> Any:
        return self.values.get(name, self.defaults.get(name))

    def set(self, name: str, value: Any) -> None:
        self.values[name] = value

    def set_unless_given(self, name: str, value: Any) -> None:
        """A default that only fills an empty field."""
        if self.get(name) == self.defaults[name] and name not in self.given:
            self.values[name] = value

    def changed(self, *names: str) -> bool:
        return any(name in self.given for name in names)

    def stored(self) -> dict[str, Any]:
        """Only what differs from the defaults."""
        return {name: value for name, value in self.values.items() if value != self.defaults[name]}

    def refuse(self, *reasons: str) -> ODataError:
        return write_failed(self.entity.aot_name, [f"Error: {reason}" for reason in reasons])


class Rules:
    """The hooks, all empty."""

    def default_row(self, write: Write) -> None:
        """Fills derived fields; may raise `ODataError`."""

    def validate_write(self, write: Write) -> list[str]:
        """Reasons to refuse the row."""
        return []

    def after_write(self, write: Write) -> None:
        """Changes other rows; runs inside the same transaction."""

    def before_delete(self, write: Write) -> None:
        """Refuses or cascades."""

    def after_delete(self, write: Write) -> None:
        """Changes other rows."""
