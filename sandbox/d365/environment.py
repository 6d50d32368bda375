"""One F&O environment: its model, rows, companies and switches, shared by everything that serves it."""

from __future__ import annotations

import contextlib
import datetime
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from sandbox.d365.model_files import load_model
from sandbox.d365.publishing import Changes, published
from sandbox.d365.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from decimal import Decimal

    from sandbox.d365.model import Entity, Model
    from sandbox.d365.store import Change


@dataclass(frozen=True)
class Company:
    """A legal entity. `prefix` starts its numbers: `US-000001`."""

    company_id: str
    name: str
    prefix: str
    currency: str
    country: str  # as in AddressCountryRegions
    language: str = "en-US"


DEFAULT_COMPANIES = (
    Company("usmf", "Contoso Entertainment System USA", "US", "USD", "USA"),
    Company("demf", "Contoso Entertainment System Germany", "DE", "EUR", "DEU", "de"),
    Company("gbsi", "Contoso Orange Juice", "GB", "GBP", "GBR", "en-GB"),
)


@dataclass
class Settings:
    """Switches of `PUT /sandbox/settings`; the defaults are the contract's likelier reading."""

    # set name → true/false, or company → true/false; absent: as the model says
    manual_numbers: dict[str, Any] = field(default_factory=dict)
    # "CustomersV3.SalesforceAccountId": F&O refuses a second row with the same value per company
    unique_indexes: list[str] = field(default_factory=list)
    page_size: int = 10_000
    # UNVERIFIED behaviours, switchable (contract 2.6, 2.8, 3.3)
    if_match_enforced: bool = True
    duplicate_status: int = 400
    changeset_failure: str = "bare"  # or "wrapped"
    batch_stops_at_first_error: bool = False
    states_must_exist: bool = True
    # False: an order's totals stay 0, as before F&O calculates them (contract 5.4)
    order_totals: bool = True
    # F&O's own price policy wins over the price a line brings
    price_overrides: bool = False
    # a second contact of the same party with the same e-mail address is refused
    contact_duplicate_check: bool = False
    # ASP.NET's default for one $filter; 0: no limit
    filter_node_limit: int = 100

    def update(self, given: Mapping[str, Any]) -> None:
        """Sets all given switches or, with `ValueError`, none."""
        known = {f.name: type(getattr(self, f.name)) for f in fields(self)}
        for name, value in given.items():
            if type(value) is not known.get(name):
                raise ValueError(f"no setting {name!r} of this type")
        if given.get("page_size", 1) < 1:
            raise ValueError("page_size must be positive")
        if given.get("filter_node_limit", 0) < 0:
            raise ValueError("filter_node_limit must not be negative")
        if given.get("changeset_failure", "bare") not in ("bare", "wrapped"):
            raise ValueError("changeset_failure is bare or wrapped")
        for name, value in given.items():
            setattr(self, name, value)


class Environment:
    """`custom_fields`: set name → names of string(18) extension fields."""

    def __init__(
        self,
        companies: Sequence[Company] = DEFAULT_COMPANIES,
        *,
        custom_fields: Mapping[str, Sequence[str]],
        page_size: int = 10_000,
    ) -> None:
        self.companies = {company.company_id: company for company in companies}
        self.custom_fields = custom_fields
        self.model: Model = load_model(custom_fields)
        self.publish({})
        self.initial_page_size = page_size
        self.settings = Settings(page_size=page_size)
        # Called with every committed transaction; `actor` is the client that caused it
        self.on_commit: Callable[[list[Change]], None] | None = None
        self.actor = ""
        self.store = Store(self.model, committed=self._committed)
        # set name → how many of its next updates (order lines: creates) end in an update conflict
        self.pending_conflicts: dict[str, int] = {}
        # (company, lot) of an order line → quantity and amount invoiced so far
        self.invoiced: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}

    @property
    def default_company(self) -> str:
        return next(iter(self.companies))

    def clear(self) -> None:
        """Empties all tables and restores the switches; number sequences start anew."""
        self.settings = Settings(page_size=self.initial_page_size)
        self.publish({})
        self.store = Store(self.model, committed=self._committed)
        self.pending_conflicts.clear()
        self.invoiced.clear()

    def publish(self, changes: Changes) -> None:
        """What OData shows of the model, see `publishing`. Raises ValueError, and then nothing is changed."""
        self.published = published(self.model, changes)
        self.changes = changes

    @contextlib.contextmanager
    def acting(self, client: str) -> Iterator[None]:
        """Names who causes the writes inside."""
        before, self.actor = self.actor, client
        try:
            yield
        finally:
            self.actor = before

    def _committed(self, changes: list[Change]) -> None:
        if self.on_commit is not None:
            self.on_commit(changes)

    def manual_numbers_allowed(self, entity: Entity, company: str) -> bool:
        assert entity.sequence is not None
        choice = self.settings.manual_numbers.get(entity.storage, entity.sequence.manual)
        if isinstance(choice, dict):
            choice = choice.get(company, entity.sequence.manual)
        return bool(choice)

    def next_number(self, entity: Entity, company: str) -> str:
        """The next free number of a company's sequence, such as `US-000001`."""
        assert entity.sequence is not None
        prefix = self.companies[company].prefix
        rows = self.store.table(entity).rows
        while True:
            number = self.store.next_number(company, entity.storage)
            text = f"{prefix}-{number:06}"
            if (company, text.lower()) not in rows:
                return text

    def today(self) -> str:
        return f"{datetime.datetime.now(datetime.UTC).date().isoformat()}T12:00:00Z"

    def now(self) -> str:
        return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
