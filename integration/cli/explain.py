"""`explain`: which field becomes which, who owns it and by what rule, with the tenant's own changes."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from integration.cli import completing
from integration.cli.command import command
from integration.cli.objects import object_named
from integration.cli.output import Column, Output
from integration.cli.problems import DONE
from integration.cli.running import configured
from integration.cli.tables import Effective, effective
from integration.flows.policies import ENDS

if TYPE_CHECKING:
    from integration.mapping.customisation import Customisation
    from integration.mapping.tables import FieldRule
    from integration.settings import Settings

_OWNERS = {"salesforce": "Salesforce", "d365": "F&O"}
_FLOWS = {
    "Account": "accounts", "Contact": "contacts", "Opportunity": "orders", "Customer": "customers",
    "SalesInvoice": "invoices", "FreeTextInvoice": "invoices", "Product": "prices",
}  # fmt: skip


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "explain",
        examples=("explain account", "explain opportunity", "explain product --json"),
    )(explain)


async def explain(
    out: Output,
    name: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT",
            help="Account, Contact, Opportunity, Customer, SalesInvoice, FreeTextInvoice or Product.",
            autocompletion=completing.mapped_objects,
        ),
    ],
) -> int:
    """Explains how the records of an object are mapped: every field with its rule and its owner.

    A field of Salesforce is written to F&O where the two differ; a field of F&O is never written there, it
    goes back. Lines that the mapping file of this tenant has changed or added say so. Asks no system.
    """
    name = object_named(name)
    settings, customisation = configured()
    tables = effective(settings, customisation, name)
    rules = _rules(settings, customisation, name)
    out.document(
        {
            "object": name,
            "rules": rules,
            "tables": [
                {
                    "title": each.title,
                    "fields": [_document(each, rule) for rule in each.table.rules],
                    "removed": each.removed,
                }
                for each in tables
            ],
        }
    )
    out.facts(rules.items())
    for each in tables:
        out.line()
        _show(out, each)
    return DONE


def _rules(settings: "Settings", customisation: "Customisation", name: str) -> dict[str, Any]:
    """What decides beside the fields."""
    flow = _FLOWS[name]
    app, companies = settings.app, customisation.company_rule(settings.d365.company)
    rules: dict[str, Any] = {
        "flow": f"{flow}: {getattr(app, f'flow_{flow}')}",
        "mapping file": app.mapping_file or "none",
        "company": companies.default,
        "company by field": companies.decided_by,
        "companies": ", ".join(companies.companies),
    }
    if companies.by_country:
        rules["company by country"] = ", ".join(
            f"{country} {company}" for country, company in companies.by_country.items()
        )
    if flow == "accounts":
        rules["new customers"] = f"{app.customer_creation}, number by {app.customer_numbering}"
        rules["person accounts"] = customisation.accounts.person_accounts
        rules["route"] = settings.volume.accounts_route
    elif flow == "contacts":
        rules["route"] = settings.volume.contacts_route
    elif flow == "orders":
        rules["since"] = settings.orders.since.isoformat()
        rules["order number by"] = settings.orders.numbering
    elif flow == "customers":
        rules["customer without account"] = app.customers_without_account
    if flow in ENDS:
        exhausted, rejected = ENDS[flow]
        rules["if it keeps failing"] = f"{settings.retry.attempts} deliveries, then {exhausted}"
        rules["if it can never succeed"] = rejected
    return rules


def _show(out: Output, each: Effective) -> None:
    rows: list[tuple[object, ...]] = [
        (
            *_pair(each, rule),
            rule.transform.name,
            _OWNERS[rule.owner],
            _written(each, rule),
            rule.length,
        )
        for rule in each.table.rules
    ]
    left, right = each.title.split(" → ")
    columns = (left, right, Column("rule", True), Column("owner", True), Column("written", True))
    out.table((*columns, Column("length", number=True)), rows, title=each.title)
    notes = [(f"  {rule.target}", _notes(each, rule)) for rule in each.table.rules]
    out.line()
    out.facts(notes)
    for target in each.removed:
        out.line(f"left alone by the mapping file: {target}")


def _pair(each: Effective, rule: "FieldRule") -> tuple[str, str]:
    sources = " or ".join(rule.sources) or "-"
    return (rule.target, sources) if each.back else (sources, rule.target)


def _written(each: Effective, rule: "FieldRule") -> str:
    if each.back:
        return "if different"
    if not rule.is_written:
        return "goes back" if rule.sources else "never"
    return "on creation" if rule.on == "create" else "if different"


def _notes(each: Effective, rule: "FieldRule") -> str:
    parts = (
        each.origin(rule),
        "mandatory" if rule.required and rule.is_written else "",
        f"only {rule.condition.name}" if rule.condition else "",
        f"looks at {' or '.join(rule.beside)}" if rule.beside else "",
        rule.note.replace("`", ""),
    )
    return "; ".join(part for part in parts if part)


def _document(each: Effective, rule: "FieldRule") -> dict[str, Any]:
    return {
        "sources": list(rule.sources),
        "target": rule.target,
        "rule": rule.transform.name,
        "owner": rule.owner,
        "written": _written(each, rule),
        "length": rule.length,
        "required": rule.required,
        "condition": rule.condition.name if rule.condition else None,
        "beside": list(rule.beside),
        "compare": rule.comparison,
        "from": each.origin(rule) or "built in",
        "note": rule.note,
    }
