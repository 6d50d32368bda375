"""What the flows need of one object or entity set; shared by both sides."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.mapping.accounts import AccountMapping, account_mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.mapping.customisation import Customisation
    from integration.mapping.tables import MappingTable
    from integration.settings import Settings


@dataclass(slots=True)
class Needs:
    """Names of fields. `useful` ones are left out where they do not exist; `custom` are the tenant's own, by
    the setting that names them; `flows` are those that use the object."""

    read: set[str] = field(default_factory=set)
    create: set[str] = field(default_factory=set)
    update: set[str] = field(default_factory=set)
    useful: set[str] = field(default_factory=set)
    custom: dict[str, str] = field(default_factory=dict)
    flows: set[str] = field(default_factory=set)

    def add(
        self,
        flow: str,
        *,
        read: Iterable[str] = (),
        create: Iterable[str] = (),
        update: Iterable[str] = (),
        useful: Iterable[str] = (),
        custom: Mapping[str, str] | None = None,
    ) -> None:
        self.flows.add(flow)
        self.read |= set(read)
        self.create |= set(create)
        self.update |= set(update)
        self.useful |= set(useful)
        self.custom |= custom or {}

    @property
    def fields(self) -> set[str]:
        return self.read | self.create | self.update


NeedsByName = defaultdict[str, Needs]


def switches(settings: Settings) -> dict[str, str]:
    app = settings.app
    return {
        "accounts": app.flow_accounts,
        "contacts": app.flow_contacts,
        "orders": app.flow_orders,
        "customers": app.flow_customers,
        "invoices": app.flow_invoices,
        "prices": app.flow_prices,
        "payments": app.flow_payments,
    }


def mapped_accounts(settings: Settings, customisation: Customisation) -> AccountMapping:
    return account_mapping(
        customisation,
        default_company=settings.d365.company,
        salesforce_id_field=settings.d365.salesforce_id_field,
        customer_number_field=settings.salesforce.customer_number_field,
    )


def written(table: MappingTable, *, always: bool = False) -> set[str]:
    """F&O columns that Salesforce owns; `always` leaves out those of a creation alone."""
    return {
        rule.target
        for rule in table.rules
        if rule.is_written and (rule.on == "always" or not always)
    }


def written_back(table: MappingTable) -> set[str]:
    """Salesforce fields that F&O owns."""
    return {rule.sources[0] for rule in table.rules if not rule.is_written and rule.sources}
