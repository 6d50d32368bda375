"""Finds what belongs to a record by way of those that were merged into it.

Asked before anything new is made: an account without a customer that took in one with a customer has that
one, and a contact likewise. Found so, a row stands where a row with the record's own id would, and is then
linked by the ordinary comparison, because the id it carries differs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from integration.errors import IntegrationError
from integration.flows.contact_persons import PersonMatch, SoughtPerson
from integration.flows.customers import Match, Sought
from integration.flows.gone.holders import own_rows
from integration.flows.numbers import company_and_number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from integration.flows.contact_persons import ContactPersons
    from integration.flows.customers import Customers
    from integration.flows.gone.merges import Loser, Merges

    # Customers.Match or contact_persons.PersonMatch: rows `by_id`, and one `by_number`.
    Find = Callable[[Mapping[str, tuple[str, Loser]]], Awaitable[Mapping[str, Any]]]

_Match = TypeVar("_Match")


class Adoption:
    def __init__(self, merges: Merges, id_field: str) -> None:
        """`id_field` of the rows in F&O."""
        self._merges = merges
        self._id_field = id_field

    def is_doubtful(self, key: str, match: Any, *, may_be_new: bool) -> bool:
        """Whether those merged into the record must be looked up: nothing carries its id, and what it names
        is another record's, or it names nothing and could get something new."""
        if match.by_id:
            return False
        if match.by_number is None:
            return may_be_new
        owner = str(match.by_number.record.get(self._id_field) or "")
        return bool(owner) and owner.casefold() != key.casefold()

    async def add(
        self, found: Mapping[str, _Match | Exception], doubtful: Collection[str], find: Find
    ) -> dict[str, _Match | Exception]:
        """`find` answers per loser, asked with (survivor, loser). No call without doubtful records; else one
        to Salesforce, and one to F&O where any were merged."""
        answers: dict[str, _Match | Exception] = dict(found)
        if not doubtful:
            return answers
        try:
            losers = await self._merges.losers(doubtful)
            asked = {each.id: (key, each) for key, mine in losers.items() for each in mine}
            rows = await find(asked) if asked else {}
        except IntegrationError as error:  # those that have theirs go on
            return {**answers, **dict.fromkeys(doubtful, error)}
        for key, mine in losers.items():
            taken: dict[object, Any] = {}
            for loser in mine:
                match = rows.get(loser.id)
                if isinstance(match, Exception):
                    answers[key] = match
                    break
                if match is not None:
                    own = own_rows(match.by_id, match.by_number, self._id_field)
                    taken |= {(row.company, row.number): row for row in own}
            else:
                if taken:
                    known: Any = found[key]
                    answers[key] = replace(known, by_id=tuple(taken.values()))
        return answers


class AdoptedCustomers:
    """Customers of accounts that were merged into others."""

    def __init__(self, merges: Merges, customers: Customers) -> None:
        self._customers = customers
        self._adoption = Adoption(merges, customers.id_field)

    async def add(
        self,
        found: Mapping[str, Match | Exception],
        sought: Mapping[str, Sought],
        may_be_new: Callable[[str, Match], bool],
    ) -> dict[str, Match | Exception]:
        """`may_be_new`: an account that names no customer would get a new one."""
        doubtful = [
            key
            for key, match in found.items()
            if isinstance(match, Match)
            and self._adoption.is_doubtful(key, match, may_be_new=may_be_new(key, match))
        ]

        async def find(losers: Mapping[str, tuple[str, Loser]]) -> Mapping[str, Match | Exception]:
            asked = {}
            for key, (survivor, loser) in losers.items():
                company, number = _named_by(loser)
                asked[key] = Sought(number, company or sought[survivor].company)
            return await self._customers.find(asked)

        return await self._adoption.add(found, doubtful, find)


class AdoptedPersons:
    """Contact persons of contacts that were merged into others."""

    def __init__(self, merges: Merges, persons: ContactPersons) -> None:
        self._persons = persons
        self._adoption = Adoption(merges, persons.id_field)

    async def add(
        self,
        found: Mapping[str, PersonMatch | Exception],
        may_be_new: Callable[[str, PersonMatch], bool],
    ) -> dict[str, PersonMatch | Exception]:
        doubtful = [
            key
            for key, match in found.items()
            if isinstance(match, PersonMatch)
            and self._adoption.is_doubtful(key, match, may_be_new=may_be_new(key, match))
        ]

        async def find(
            losers: Mapping[str, tuple[str, Loser]],
        ) -> Mapping[str, PersonMatch | Exception]:
            asked = {}
            for key, (_, loser) in losers.items():
                company, number = _named_by(loser)
                asked[key] = SoughtPerson(None, number, company, {})
            return await self._persons.find(asked)

        return await self._adoption.add(found, doubtful, find)


def _named_by(loser: Loser) -> tuple[str | None, str | None]:
    """(company, number) that the merged record held; the company only where it said so."""
    return company_and_number(loser.number) if loser.number else (None, None)
