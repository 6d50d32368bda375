"""Which existing customer is which existing account: proposals by tax id, number, or name and postcode.

Pure. Only customers of the company that the rule gives the account are compared, because an account is
never linked to a customer elsewhere. A proposal is clear where the strongest rule leads from the account to
one customer and from that customer back to this account alone; everything else is for a person.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

Rule = Literal["tax id", "number", "name and postcode", "none"]
SCORES: dict[Rule, int] = {"tax id": 100, "number": 90, "name and postcode": 70, "none": 0}
_CANDIDATES = 10  # of one account in the file; more only say that the name is common
_LEGAL_FORMS = frozenset(
    {
        "ab", "ag", "as", "bv", "co", "company", "corp", "corporation", "eg", "ek", "gmbh", "inc",
        "incorporated", "kg", "limited", "llc", "llp", "ltd", "mbh", "nv", "ohg", "oy", "plc", "pty",
        "sa", "sarl", "se", "sl", "spa", "srl",
    }
)  # fmt: skip
_AND = frozenset({"and", "et", "und", "y"})


@dataclass(frozen=True, slots=True)
class OpenAccount:
    """An account without a customer number."""

    id: str
    name: str
    company: str
    number: str
    postcode: str
    tax_id: str


@dataclass(frozen=True, slots=True)
class OpenCustomer:
    """A customer without a Salesforce id."""

    company: str
    number: str
    name: str
    postcode: str
    tax_id: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """`customer` is None where nothing matched: approved, the account gets a new customer."""

    account: OpenAccount
    customer: OpenCustomer | None
    rule: Rule
    approved: bool
    note: str = ""

    @property
    def score(self) -> int:
        return SCORES[self.rule]


def plain(text: str) -> str:
    """Letters and digits alone, without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.replace("ß", "ss"))
    return re.sub(r"[\W_]+", "", decomposed, flags=re.UNICODE).casefold()


def plain_name(text: str) -> str:
    """A company's name without its legal form, which every system writes another way."""
    kept = unicodedata.normalize("NFKD", text.replace("ß", "ss")).casefold()
    letters = "".join(letter for letter in kept if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", letters.replace(".", ""))
    core = [word for word in words if word not in _AND]
    while len(core) > 1 and core[-1] in _LEGAL_FORMS:
        core.pop()
    return "".join(core or words)


_KEYS: dict[Rule, Callable[[OpenAccount | OpenCustomer], str]] = {
    "tax id": lambda row: plain(row.tax_id),
    "number": lambda row: row.number.strip().casefold(),
    "name and postcode": lambda row: _name_key(row),
}


def _name_key(row: OpenAccount | OpenCustomer) -> str:
    name, postcode = plain_name(row.name), plain(row.postcode)
    return f"{name}|{postcode}" if name and postcode else ""


def propose(
    accounts: Sequence[OpenAccount], customers: Sequence[OpenCustomer]
) -> Iterator[Proposal]:
    """At least one line per account, in the order of the accounts."""
    of_account: dict[str, dict[OpenCustomer, Rule]] = defaultdict(dict)
    of_customer: dict[OpenCustomer, dict[str, Rule]] = defaultdict(dict)
    for rule, key_of in _KEYS.items():
        index = _by_key(customers, key_of)
        for account in accounts:
            key = key_of(account)
            for customer in index.get((account.company, key), ()) if key else ():
                of_account[account.id].setdefault(customer, rule)
                of_customer[customer].setdefault(account.id, rule)
    for account in accounts:
        found = of_account.get(account.id)
        if not found:
            yield Proposal(account, None, "none", approved=True, note="a new customer is made")
            continue
        for customer, rule in list(found.items())[:_CANDIDATES]:
            note = _doubt(account, customer, found, of_customer[customer])
            yield Proposal(account, customer, rule, approved=not note, note=note)


def _by_key(
    customers: Iterable[OpenCustomer], key_of: Callable[[OpenAccount | OpenCustomer], str]
) -> dict[tuple[str, str], list[OpenCustomer]]:
    index: dict[tuple[str, str], list[OpenCustomer]] = defaultdict(list)
    for customer in customers:
        if key := key_of(customer):
            index[customer.company, key].append(customer)
    return index


def _doubt(
    account: OpenAccount,
    customer: OpenCustomer,
    candidates: dict[OpenCustomer, Rule],
    claims: dict[str, Rule],
) -> str:
    """Why a person must look; empty where the pair is clear."""
    rule = candidates[customer]
    if len(candidates) > 1:
        return f"{len(candidates)} customers fit this account"
    if len(claims) > 1:
        return f"{len(claims)} accounts fit this customer"
    taxes = plain(account.tax_id), plain(customer.tax_id)
    if all(taxes) and taxes[0] != taxes[1]:
        return "the tax ids differ"
    if rule == "number" and plain_name(account.name) != plain_name(customer.name):
        return "the numbers are equal, the names are not"
    return ""
