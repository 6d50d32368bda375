"""The business record behind a hint, on both sides: what identifies it, and links for a browser.

F&O opens a form by its menu item and company (`?cmp=…&mi=…`), not a record: its links to records are signed
by F&O itself. So the number to look for stands beside the link.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from integration.cli.problems import short
from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.d365.filters import Filter, eq
from integration.d365.literals import COMPANY
from integration.errors import ContractError, IntegrationError
from integration.flows.contact_persons import ENTITY_SET as PERSONS
from integration.flows.customers import ENTITY_SET as CUSTOMERS
from integration.flows.invoice_assembling import FREE_TEXT_HEADERS, SALES_HEADERS
from integration.flows.invoice_rows import KEY
from integration.flows.numbers import company_and_number
from integration.flows.order_status import NUMBER_FIELD, STATUS
from integration.flows.sales_orders import HEADERS as ORDERS
from integration.mapping.invoices import INVOICE
from integration.salesforce.soql import condition, select

if TYPE_CHECKING:
    from integration.messaging.hints import Hint
    from integration.wiring import App

_FORMS = {
    CUSTOMERS: "CustTableListPage",
    PERSONS: "smmContactPerson",
    ORDERS: "SalesTableListPage",
    SALES_HEADERS: "CustInvoiceJournal",
    FREE_TEXT_HEADERS: "CustFreeInvoiceListPage",
}
_MOST = 5  # records of one side


@dataclass(frozen=True, slots=True)
class Side:
    """A record of one system. `facts` are ids, numbers and states; `values` may be personal data."""

    system: str
    name: str
    link: str
    facts: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)


async def both_sides(app: App, hint: Hint) -> list[Side | str]:
    """What there is; a sentence where a side could not be read or holds nothing."""
    find = {
        "Account": _account,
        "Contact": _contact,
        "Opportunity": _opportunity,
        "Customer": _customer,
        "SalesInvoice": _invoice,
        "FreeTextInvoice": _invoice,
    }.get(hint.object)
    if find is None:
        return [f"nothing is known of {hint.object}"]
    try:
        return await find(app, hint.key)
    except ContractError as error:
        return [f"nothing can be found by the key {hint.key} ({error.reason})"]


def _unread(system: str, error: IntegrationError) -> str:
    """In the place of one side; it must not hide the other one."""
    return f"{system} could not be read ({short(error)})"


async def _account(app: App, key: str) -> list[Side | str]:
    number = app.settings.salesforce.customer_number_field
    mine, named = await _salesforce_row(app, "Account", key, (number,), ("Name",))
    filters = [eq(app.settings.d365.salesforce_id_field, key)]
    filters += _by_number("CustomerAccount", named.get(number))
    theirs = await _customers(app, filters)
    return [mine, *(theirs or ["no customer in F&O"])]


async def _contact(app: App, key: str) -> list[Side | str]:
    number = app.settings.salesforce.contact_number_field
    mine, _ = await _salesforce_row(app, "Contact", key, ("AccountId", number), ("Name",))
    where = eq(app.settings.d365.salesforce_contact_id_field, key)
    theirs = await _d365_rows(app, PERSONS, where, "ContactPersonId", (), ("FirstName", "LastName"))
    return [mine, *(theirs or ["no contact person in F&O"])]


async def _opportunity(app: App, key: str) -> list[Side | str]:
    fields = ("AccountId", "IsWon", "StageName", NUMBER_FIELD, STATUS)
    mine, named = await _salesforce_row(app, "Opportunity", key, fields, ("Name",))
    filters = [eq(app.settings.orders.id_field, key)]
    filters += _by_number("SalesOrderNumber", named.get(NUMBER_FIELD))
    theirs: list[Side | str] = []
    for where in filters:
        facts = ("OrderingCustomerAccountNumber", "SalesOrderStatus")
        theirs += await _d365_rows(app, ORDERS, where, "SalesOrderNumber", facts, ())
    return [mine, *(_distinct(theirs) or ["no sales order in F&O"])]


async def _customer(app: App, key: str) -> list[Side | str]:
    parsed = CustomerKey.parse(key)
    where = eq("CustomerAccount", parsed.number) & eq(COMPANY, parsed.company)
    theirs = await _customers(app, [where])
    number = app.settings.salesforce.customer_number_field
    names = dict.fromkeys((parsed.number, f"{parsed.company}|{parsed.number}"))
    named = " OR ".join(condition(number, "=", each) for each in names)
    mine = await _salesforce_rows(app, "Account", named, (number,), ("Name",))
    return [*(theirs or ["no such customer in F&O"]), *(mine or ["no account in Salesforce"])]


async def _invoice(app: App, key: str) -> list[Side | str]:
    parsed = InvoiceKey.parse(key)
    sales = parsed.kind == "sales"
    entity, number = (
        (SALES_HEADERS, "InvoiceNumber") if sales else (FREE_TEXT_HEADERS, "FreeTextNumber")
    )
    where = eq(number, parsed.number) & eq(COMPANY, parsed.company)
    theirs = await _d365_rows(app, entity, where, number, ("InvoiceDate",), ())
    named = f"{condition(KEY, '=', parsed.root)} OR {KEY} LIKE '{_like(parsed.root)}|%'"
    mine = await _salesforce_rows(app, INVOICE, named, (KEY,), ())
    return [*(theirs or ["no such invoice in F&O"]), *(mine or ["no invoice in Salesforce"])]


def _like(text: str) -> str:
    """For a LIKE in SOQL: quotes, and what LIKE takes for a pattern."""
    for letter in "\\'%_":
        text = text.replace(letter, f"\\{letter}")
    return text


def _by_number(field_name: str, named: Any) -> list[Filter]:
    if not isinstance(named, str) or not named or "*" in named:
        return []
    company, number = company_and_number(named)
    where = eq(field_name, number)
    return [where & eq(COMPANY, company)] if company else [where]


# Salesforce


async def _salesforce_row(
    app: App, name: str, key: str, facts: tuple[str, ...], values: tuple[str, ...]
) -> tuple[Side | str, dict[str, Any]]:
    try:
        rows = await app.salesforce.retrieve(name, [key], (*facts, *values))
        row = rows.get(key)
        if row is None:
            return f"no {name} {key} in Salesforce (deleted, or out of the user's sight)", {}
        return await _side(app, name, row, facts, values), row
    except IntegrationError as error:
        return _unread("Salesforce", error), {}


async def _salesforce_rows(
    app: App, name: str, where: str, facts: tuple[str, ...], values: tuple[str, ...]
) -> list[Side | str]:
    fields = tuple(dict.fromkeys(("Id", *facts, *values)))
    query = select(name, fields, where=where, limit=_MOST)
    try:
        rows = [row async for row in app.salesforce.query(query)]
        return [await _side(app, name, row, facts, values) for row in rows]
    except IntegrationError as error:
        return [_unread("Salesforce", error)]


async def _side(
    app: App, name: str, row: dict[str, Any], facts: tuple[str, ...], values: tuple[str, ...]
) -> Side:
    instance = (await app.salesforce.tokens.current()).instance_url
    link = f"{instance}/lightning/r/{name}/{row['Id']}/view"
    shown = {each: row.get(each) for each in facts}
    return Side(
        "Salesforce", f"{name} {row['Id']}", link, shown, {each: row.get(each) for each in values}
    )


# F&O


async def _customers(app: App, filters: list[Filter]) -> list[Side | str]:
    found: list[Side | str] = []
    id_field = app.settings.d365.salesforce_id_field
    for where in filters:
        found += await _d365_rows(
            app, CUSTOMERS, where, "CustomerAccount", (id_field,), ("OrganizationName",)
        )
    return _distinct(found)


async def _d365_rows(
    app: App,
    entity: str,
    where: Filter,
    number: str,
    facts: tuple[str, ...],
    values: tuple[str, ...],
) -> list[Side | str]:
    columns = (COMPANY, number, *facts, *values)
    query = app.d365.query(entity, filter=where, select=columns, top=_MOST)
    try:
        rows = [row async for row in query]
    except IntegrationError as error:
        return [_unread("F&O", error)]
    return [
        Side(
            "F&O",
            f"{entity} {row[number]} in {str(row[COMPANY]).lower()}",
            form_link(app, entity, str(row[COMPANY]).lower()),
            {each: row.get(each) for each in facts},
            {each: row.get(each) for each in values},
        )
        for row in rows
    ]


def form_link(app: App, entity: str, company: str) -> str:
    query = urlencode({"cmp": company, "mi": _FORMS[entity]}, quote_via=quote)
    return f"{app.settings.d365.base_url}/?{query}"


def _distinct(sides: list[Side | str]) -> list[Side | str]:
    by_name = {side if isinstance(side, str) else side.name: side for side in sides}
    return list(by_name.values())
