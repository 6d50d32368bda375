"""Checks an approved file against itself and against both systems; pure, and lists every mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, same_text
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from integration.cli.match_file import Line
    from integration.flows.account_matching import OpenAccount, OpenCustomer


@dataclass(slots=True)
class Checked:
    """`named` are all accounts of the file, `problems` what must be corrected before anything counts."""

    links: dict[str, CustomerKey] = field(default_factory=dict)
    create: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)


def check(
    lines: Iterable[Line], accounts: Mapping[str, OpenAccount], customers: Iterable[OpenCustomer]
) -> Checked:
    """`accounts` are those without a number, `customers` those without a Salesforce id."""
    checked = Checked()
    known = {
        (customer.company, same_text(customer.number)): customer.number for customer in customers
    }
    accounts_at: dict[str, str] = {}
    customers_at: dict[tuple[str, str], str] = {}
    for line in lines:
        if not is_id(line.account_id):
            checked.problems.append(f"{line.place}: account_id is no Salesforce id")
            continue
        account = to_18(line.account_id)
        checked.named.add(account)
        if line.approved.casefold() not in ("yes", "no"):
            checked.problems.append(f"{line.place}: approved must be yes or no")
            continue
        if line.approved.casefold() == "no":
            continue
        if account in accounts_at:
            checked.problems.append(
                f"{line.place}: the account is approved already in {accounts_at[account]}"
            )
            continue
        accounts_at[account] = line.place
        if account not in accounts:
            checked.problems.append(
                f"{line.place}: there is no such account, or it has a customer number already"
            )
            continue
        if not line.customer_number:
            checked.create.add(account)
            continue
        key = (line.company.lower(), same_text(line.customer_number))
        if key[0] != accounts[account].company:
            checked.problems.append(
                f"{line.place}: the account belongs to company {accounts[account].company},"
                f" not {key[0] or 'none'}"
            )
        elif key not in known:
            checked.problems.append(
                f"{line.place}: there is no customer {line.customer_number} in {key[0]}, or it has a"
                " Salesforce id already (a spreadsheet may have cut leading zeros)"
            )
        elif key in customers_at:
            checked.problems.append(
                f"{line.place}: the customer is approved already in {customers_at[key]}"
            )
        else:
            customers_at[key] = line.place
            checked.links[account] = CustomerKey(key[0], known[key])
    return checked
