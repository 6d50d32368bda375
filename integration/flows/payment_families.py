"""What several customers of one account owe together.

After a merge an account may have two customers. All invoices stand on that account, so what it shows as owed
is the sum of both, or it would not agree with its own invoices. Amounts of customers in another company are
in another accounting currency and are not added: they are kept apart, on no account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey
from integration.flows.payment_reading import CustomerBalance, identity
from integration.mapping.payments import Balance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from integration.d365.business_keys import InvoiceKey
    from integration.flows.flow import Record
    from integration.flows.payment_reading import BalancePage, CustomerTransactions, Window
    from integration.state.aliases import Aliases

_Identity = tuple[str, str]


class JointTransactions:
    """As `CustomerTransactions`, with the amounts of such customers added up. One call more for pages with
    such a customer; one listing of state now and then for all others."""

    def __init__(self, source: CustomerTransactions, aliases: Aliases) -> None:
        self._source = source
        self._aliases = aliases

    async def page(
        self, after: CustomerKey | None, until: CustomerKey | None, window: Window
    ) -> BalancePage:
        page = await self._source.page(after, until, window)
        joint = await self.joint((each.key for each in page.customers), window)
        for each in page.customers:
            if shared := joint.get(identity(each.key)):
                each.account, each.trouble = shared.account, each.trouble or shared.trouble
                shared.balance.invoices = each.balance.invoices
                each.balance = shared.balance
        return page

    async def balances(
        self, keys: Iterable[CustomerKey], window: Window
    ) -> dict[_Identity, CustomerBalance]:
        asked = list(keys)
        found = await self._source.balances(asked, window)
        return found | await self.joint(asked, window)

    async def invoices(
        self, keys: Iterable[InvoiceKey], *, closed_only: bool = False
    ) -> dict[str, list[Record]]:
        return await self._source.invoices(keys, closed_only=closed_only)

    async def joint(
        self, keys: Iterable[CustomerKey], window: Window
    ) -> dict[_Identity, CustomerBalance]:
        """Of those that share an account, what all of its customers owe together, if only nothing. Without
        invoices."""
        families = await self._families()
        mine = {identity(key): key for key in keys if identity(key) in families}
        if not mine:
            return {}
        members = {identity(member): member for each in mine for member in families[each]}
        found = await self._source.balances(members.values(), window)
        return {each: _sum(key, families[each], found, window) for each, key in mine.items()}

    async def _families(self) -> dict[_Identity, tuple[CustomerKey, ...]]:
        """The customers of one account and company, its own first, by each of them."""
        heads: dict[_Identity, list[CustomerKey]] = {}
        for alias in await self._aliases.all():
            number, head = CustomerKey.parse(alias.number), CustomerKey.parse(alias.into)
            # `*` would match others too (F&O contract 2.2)
            if number.company == head.company and "*" not in number.number + head.number:
                heads.setdefault(identity(head), [head]).append(number)
        return {
            identity(member): tuple(members) for members in heads.values() for member in members
        }


def _sum(
    key: CustomerKey,
    members: Sequence[CustomerKey],
    found: dict[_Identity, CustomerBalance],
    window: Window,
) -> CustomerBalance:
    total = CustomerBalance(key, Balance(window.today, window.paid_from), account=members[0])
    for member in members:
        if part := found.get(identity(member)):
            total.balance.include(part.balance)
            total.trouble = total.trouble or part.trouble
    return total
