"""Which entity a data package's label means, and the staging fields it has (F&O contract 5.1, 6.3, 6.4)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox.d365.model import COMPANY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox.d365.model import Entity, Model, Property

# Label in data management → entity set. Labels marked in the contract as UNVERIFIED are UNVERIFIED here too.
LABELS = {
    "Contact persons V2": "ContactPersons",
    "Customer groups": "CustomerGroups",
    "Customers V3": "CustomersV3",
    "Free text invoice headers": "FreeTextInvoiceHeaders",
    "Product translations": "ProductTranslations",
    "Released products V2": "ReleasedProductsV2",
    "Sales invoice headers V2": "SalesInvoiceHeadersV2",
    "Sales invoice lines V2": "SalesInvoiceV2Lines",
    "Sales order headers V2": "SalesOrderHeadersV2",
    "Sales order lines V2": "SalesOrderLines",
    "Sales price agreements": "SalesPriceAgreements",
    "Warehouse on-hand V2": "WarehousesOnHandV2",
}


@dataclass(frozen=True)
class PackageEntity:
    label: str
    entity: Entity

    @cached_property
    def fields(self) -> Mapping[str, Property]:
        """Staging fields by name; the company is that of the run, so it is none (F&O contract 6.1)."""
        properties = self.entity.properties.values()
        return {prop.name.upper(): prop for prop in properties if prop.name != COMPANY}

    @cached_property
    def key(self) -> tuple[str, ...]:
        """The properties that tell the rows of one company apart."""
        return tuple(name for name in self.entity.key if name != COMPANY)


def package_entities(model: Model) -> dict[str, PackageEntity]:
    """By label in lower case."""
    return {
        label.lower(): PackageEntity(label, model.entities[set_name])
        for label, set_name in LABELS.items()
    }


def entity_named_in(entities: Mapping[str, PackageEntity], project: str) -> PackageEntity | None:
    """The entity whose label or set is part of a project's name; blanks, dashes and case do not count."""
    name = _plain(project)
    found = [
        (len(text), entity)
        for entity in entities.values()
        for text in (_plain(entity.label), _plain(entity.entity.set_name))
        if text in name
    ]
    return max(found, key=lambda each: each[0])[1] if found else None


def _plain(text: str) -> str:
    return "".join(filter(str.isalnum, text)).lower()
