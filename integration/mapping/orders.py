"""Won opportunity → sales order: one record mapped, and what is wrong with it in a salesperson's words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from integration.mapping.order_tables import ACCOUNT, ITEM, QUANTITY, header_table, line_table
from integration.mapping.tables import FieldProblem, MappingTable, Record
from integration.mapping.values import TransformError, day_of, is_empty, number_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from integration.mapping.companies import CompanyRule
    from integration.mapping.customisation import Customisation
    from integration.settings import OrderSettings

_LINE_READ = ("Id", "IsDeleted", "TotalPrice", "Product2.Name")


@dataclass(frozen=True, slots=True)
class MappedLine:
    """`label` is what a salesperson calls it; `problems` say why it cannot be ordered."""

    id: str
    label: str
    values: dict[str, Any]
    total: Decimal | None
    problems: tuple[str, ...] = ()

    @property
    def item(self) -> str:
        return str(self.values.get(ITEM, ""))

    @property
    def quantity(self) -> Decimal | None:
        value = self.values.get(QUANTITY)
        return value if isinstance(value, Decimal) else None


@dataclass(frozen=True, slots=True)
class MappedOrder:
    """`company` is empty where no rule names one; then, too, `problems` say so."""

    company: str
    header: dict[str, Any]
    lines: tuple[MappedLine, ...]
    problems: tuple[str, ...]

    def all_problems(self) -> list[str]:
        return [*self.problems, *(text for line in self.lines for text in line.problems)]


@dataclass(frozen=True)
class OrderMapping:
    header: MappingTable
    lines: MappingTable
    companies: CompanyRule
    won_date_field: str

    def source_fields(
        self, available: Collection[str], account: Collection[str]
    ) -> tuple[str, ...]:
        """Opportunity fields to read, those of its account among them; both describes decide."""
        known = {*available, *(ACCOUNT + name for name in account)}
        company = (ACCOUNT + name for name in self.companies.source_fields(account))
        wanted = (*self.header.source_fields(known), self.won_date_field, "Account.Name", *company)
        return tuple(dict.fromkeys(wanted))

    def line_fields(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*_LINE_READ, *self.lines.source_fields())))

    def won_on(self, record: Record) -> date | None:
        """None where the field is empty or no date."""
        try:
            return date.fromisoformat(day_of(record.get(self.won_date_field)))
        except TransformError:
            return None

    def map(self, record: Record, lines: Sequence[Record]) -> MappedOrder:
        """Total: whatever is wrong is in `problems`, all of it."""
        header = self.header.apply(record)
        problems = [_sentence(problem) for problem in header.problems]
        company = self.companies.find(
            {name.removeprefix(ACCOUNT): value for name, value in record.items() if ACCOUNT in name}
        )
        if isinstance(company, FieldProblem):
            problems.append(f"the account has no company in Dynamics 365; {company.remedy}")
            company = ""
        mapped = tuple(self._line(position, line) for position, line in enumerate(lines, 1))
        return MappedOrder(company, header.for_creation(), mapped, tuple(problems))

    def _line(self, position: int, line: Record) -> MappedLine:
        name = line.get("Product2.Name")
        label = (
            f"line {position} ({name})" if isinstance(name, str) and name else f"line {position}"
        )
        mapped = self.lines.apply(line)
        problems = [f"{label}: {_line_sentence(problem)}" for problem in mapped.problems]
        values = mapped.for_creation()
        quantity = values.get(QUANTITY)
        if isinstance(quantity, Decimal) and quantity <= 0:
            problems.append(f"{label}: the quantity rounds to {quantity:f}; correct it")
        total: Decimal | None = None
        try:
            total = None if is_empty(line.get("TotalPrice")) else number_of(line["TotalPrice"])
        except TransformError as error:
            problems.append(f"{label}: TotalPrice {error.problem}; {error.remedy}")
        return MappedLine(str(line.get("Id", "")), label, values, total, tuple(problems))


def order_mapping(
    customisation: Customisation, orders: OrderSettings, *, default_company: str
) -> OrderMapping:
    return OrderMapping(
        header_table(orders, customisation.books),
        line_table(orders),
        customisation.company_rule(default_company),
        orders.won_date_field,
    )


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of related records by their path; sub-queries and `attributes` are left out."""
    record: dict[str, Any] = {}
    for name, value in row.items():
        if not isinstance(value, dict):
            record[name] = value
        elif name != "attributes" and "records" not in value:
            record |= {f"{name}.{inner}": part for inner, part in flat(value).items()}
    return record


def _sentence(problem: FieldProblem) -> str:
    return f"{' or '.join(problem.sources) or problem.field} {problem.problem}; {problem.remedy}"


def _line_sentence(problem: FieldProblem) -> str:
    if problem.field == ITEM and (problem.problem == "is empty" or "not read" in problem.problem):
        return "the product names no item of Dynamics 365; fill its item number or product code"
    return _sentence(problem)
