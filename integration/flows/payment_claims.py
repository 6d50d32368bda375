"""The second half of a full comparison: what Salesforce says is owed, although F&O does not say so.

The first half compares all that F&O lists. An account with amounts, or an invoice that looks unpaid, may
have nothing there any more, because a person edited it or a run was missed. So the rows of Salesforce
that claim something are read page by page, and F&O is asked for these. Position: {"phase","after"}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.business_keys import InvoiceKey
from integration.errors import ContractError
from integration.flows.payment_reading import identity
from integration.flows.payment_writing import ACCOUNT, WantedRow
from integration.jobs.job import Progress
from integration.mapping.invoices import INVOICE, OPEN, STATUS
from integration.mapping.payments import ACCOUNT_AMOUNTS, UNPAID
from integration.salesforce.ids import to_18
from integration.salesforce.soql import Operator, condition, in_list, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.flows.flow import Record
    from integration.flows.payment_families import JointTransactions
    from integration.flows.payment_reading import Window
    from integration.flows.payment_rows import PaymentRows
    from integration.flows.payment_writing import PaymentTarget
    from integration.jobs.job import Position
    from integration.salesforce.client import SalesforceClient

_PHASES = {"accounts": ACCOUNT, "invoices": INVOICE}
_SIGNS: tuple[Operator, ...] = (">", "<")  # `!= 0` would also find rows without an amount
_PAGES = {ACCOUNT: 500, INVOICE: 1000}  # rows a step; those of accounts are read from F&O entirely


class PaymentClaims:
    def __init__(
        self,
        client: SalesforceClient,
        source: JointTransactions,
        target: PaymentTarget,
        rows: PaymentRows,
    ) -> None:
        self._client = client
        self._source = source
        self._target = target
        self._rows = rows

    def beginning(self, position: Position) -> Position:
        return {**position, "phase": "accounts", "after": ""}

    async def step(self, position: Position, window: Window) -> Progress:
        name = _PHASES[position["phase"]]
        claims = await self._read(name, position["after"])
        wanted = await (self._accounts if name == ACCOUNT else self._invoices)(claims, window)
        field = self._target.key_fields[name]
        current = {(name, str(row[field]).casefold()): row for row in claims}
        written = await self._target.write_over(wanted, current)
        following: Position | None = None
        if len(claims) == _PAGES[name]:
            following = {**position, "after": to_18(claims[-1]["Id"])}
        elif name == ACCOUNT:
            following = {**position, "phase": "invoices", "after": ""}
        counts = {"claims-read": len(claims), **written.counts}
        return Progress(
            following or position,
            counts,
            done=following is None,
            failures=tuple(written.failures),
        )

    async def _read(self, name: str, after: str) -> list[Record]:
        """By id, so that a page goes on exactly where the one before ended."""
        amounts = ACCOUNT_AMOUNTS if name == ACCOUNT else (OPEN,)
        parts = [condition(field, sign, 0) for field in amounts for sign in _SIGNS]
        parts += [in_list(STATUS, UNPAID)] if name == INVOICE else []
        where = [condition(self._target.key_fields[name], "!=", None), " OR ".join(parts)]
        where += [condition("Id", ">", after)] if after else []
        soql = select(
            name, self._target.columns[name], where=where, order_by=("Id",), limit=_PAGES[name]
        )
        return await self._client.query_all_rows(soql)

    async def _accounts(self, claims: Sequence[Record], window: Window) -> list[WantedRow]:
        field = self._target.key_fields[ACCOUNT]
        customers = {str(row[field]): self._rows.customer_of(str(row[field])) for row in claims}
        # `*` would match others too (F&O contract 2.2): what cannot be asked for is left alone.
        asked = [key for key in customers.values() if key and "*" not in key.number]
        found = await self._source.balances(asked, window)
        wanted = []
        for key in asked:
            customer = found.get(identity(key))
            if customer is None:
                wanted.append(self._rows.of_nothing(key, window))
            elif customer.trouble is None:
                wanted += self._rows.of_customer(customer, window)[:1]
        return wanted

    async def _invoices(self, claims: Sequence[Record], window: Window) -> list[WantedRow]:
        """Those that F&O has closed. Whether a part is still open, only all transactions can tell."""
        field = self._target.key_fields[INVOICE]
        keys: dict[str, InvoiceKey] = {}
        for row in claims:
            try:
                key = InvoiceKey.parse(str(row[field]))
            except ContractError:
                continue  # not one of this app
            keys[key.text.casefold()] = key
        closed = await self._source.invoices(keys.values(), closed_only=True)
        doubted = {name: key for name, key in keys.items() if name in closed}
        found = await self._source.invoices(doubted.values())
        return [
            self._rows.of_invoice(doubted[name].text, rows, window.today)
            for name, rows in found.items()
            if name in doubted
        ]
