"""Flow 7: what customers owe and have paid, from F&O to Account and Invoice__c.

A job, because whole tables are compared. Each step takes customers in F&O's order, adds up their
transactions and writes the rows whose fingerprint differs from what was last confirmed; an invoice that
becomes due with the clock differs too. What left the open transactions unseen (a settlement dated back) is
missing from the stream, and is asked for by name. Nothing that failed needs a record of its own: an
entry that was not confirmed is tried again by the next run.

A full comparison, once a day, believes no fingerprint and looks at Salesforce itself.

Position: {"phase","full","started_at","settled_from","chunk","from","seen"}: the fingerprint chunk by the
customer it begins after, the customer to go on after, how many entries of the chunk this pass has seen.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from integration.d365.business_keys import CustomerKey, InvoiceKey
from integration.flows.payment_claims import PaymentClaims
from integration.flows.payment_families import JointTransactions
from integration.flows.payment_reading import CustomerTransactions, identity
from integration.flows.payment_rows import FINAL, PaymentRows, is_customer
from integration.flows.payment_watermark import TRANSACTIONS, Watermark
from integration.flows.payment_writing import PaymentTarget, WantedRow
from integration.jobs.job import Progress, RowFailure
from integration.jobs.kinds import PAYMENTS
from integration.state.aliases import Aliases
from integration.state.fingerprints import Chunk, Fingerprints

if TYPE_CHECKING:
    from collections.abc import Callable

    from integration.d365.client import D365Client
    from integration.flows.payment_reading import BalancePage, Window
    from integration.jobs.job import Position
    from integration.mapping.customisation import Customisation
    from integration.salesforce.client import SalesforceClient
    from integration.settings import PaymentSettings, Settings, Switch
    from integration.state.cached_names import ListedStore
    from integration.state.fingerprints import ChunkStore


class PaymentJob:
    """Started with {} (a full comparison when one is due) or {"full": true}."""

    kind = PAYMENTS
    longest = timedelta(hours=12)

    def __init__(
        self,
        state: ChunkStore,
        source: JointTransactions,
        target: PaymentTarget,
        rows: PaymentRows,
        claims: PaymentClaims,
        settings: PaymentSettings,
        *,
        switch: Switch = "on",
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._source = source
        self._target = target
        self._rows = rows
        self._claims = claims
        self._settings = settings
        self._switch = switch
        self._watermark = Watermark(state, settings, clock)
        self._fingerprints = Fingerprints(state, PAYMENTS)

    async def step(self, position: Position) -> Progress:
        if self._switch == "off":
            return Progress(position, {"switched-off": 1}, done=True)
        if "phase" not in position:
            position = await self._watermark.beginning(position, dry=self._switch == "dry")
        window = self._watermark.window(position)
        if position["phase"] == TRANSACTIONS:
            progress = await self._transactions(position, window)
        else:
            progress = await self._claims.step(position, window)
        if progress.done and self._switch != "dry":
            await self._watermark.confirm(position)
        return progress

    async def _transactions(self, position: Position, window: Window) -> Progress:
        chunk = await self._chunk(position)
        page = await self._source.page(_customer(position["from"]), _customer(chunk.until), window)
        work = self._work(page, chunk, position, window)
        if not work.more:
            await self._add_gone(work, chunk, position, window)
        written = await self._target.write(work.changed)
        for each in work.changed:
            if each.entry not in written.confirmed:
                work.digests[each.entry] = ""
            elif each.entry not in work.leaving:
                work.digests[each.entry] = each.digest
        following = await self._after(position, chunk, work)
        return Progress(
            following or position,
            +(work.counts + written.counts),
            done=following is None,
            failures=(*work.failures, *written.failures),
        )

    async def _chunk(self, position: Position) -> Chunk:
        """A full comparison starts each chunk anew; a dry run remembers nothing."""
        if self._switch == "dry" or (position["full"] and not position["seen"]):
            return Chunk()
        chunk = await self._fingerprints.chunk(position["chunk"])
        if not position["full"]:
            return chunk
        return Chunk(None, dict(list(chunk.rows.items())[: position["seen"]]))

    def _work(self, page: BalancePage, chunk: Chunk, position: Position, window: Window) -> _Work:
        work = _Work(more=page.more, counts=Counter({"read": page.rows}))
        for found in page.customers:
            if len(work.changed) >= self._settings.rows and "*" not in work.last:
                work.more = True
                break
            work.last = found.key.text
            known = chunk.rows.get(work.last, "")
            if found.trouble:
                work.counts["failed"] += 1
                work.failures.append(RowFailure.of(work.last, found.trouble))
                work.digests[work.last] = ""
                continue
            for row in self._rows.of_customer(found, window, known):
                work.digests[row.entry] = row.digest
                if position["full"] or chunk.rows.get(row.entry) != row.digest:
                    work.changed.append(row)
                else:
                    work.counts["unchanged"] += 1
        return work

    async def _add_gone(
        self, work: _Work, chunk: Chunk, position: Position, window: Window
    ) -> None:
        """Entries that F&O did not name any more: nothing is open there, and was not settled lately."""
        seen = set(list(chunk.rows)[: position["seen"]])
        gone = {
            entry: known
            for entry, known in chunk.rows.items()
            if entry not in seen and entry not in work.digests
        }
        customers = [CustomerKey.parse(entry) for entry in gone if is_customer(entry)]
        joint = await self._source.joint(customers, window)
        invoices: dict[str, InvoiceKey] = {}
        for entry, known in gone.items():
            if is_customer(entry):
                key = CustomerKey.parse(entry)
                shared = joint.get(identity(key))
                if shared is not None and shared.trouble is not None:
                    continue  # it stays as it is known
                wanted = (
                    self._rows.of_customer(shared, window, known)[0]
                    if shared is not None
                    else self._rows.of_nothing(key, window, known)
                )
                if wanted.digest != known:
                    work.add_leaving(wanted)
            elif not known.endswith(FINAL):
                invoices[entry] = InvoiceKey.parse(entry)
        found = await self._source.invoices(invoices.values()) if invoices else {}
        for entry in invoices:
            if rows := found.get(entry.casefold()):
                work.add_leaving(self._rows.of_invoice(entry, rows, window.today))
            else:
                work.counts["gone"] += 1  # left alone in Salesforce: a deletion is never inferred

    async def _after(self, position: Position, chunk: Chunk, work: _Work) -> Position | None:
        """Saves the fingerprints and returns where to go on, None at the end."""
        start, known = position["chunk"], list(chunk.rows.items())
        if self._switch == "dry":
            return {**position, "from": work.last} if work.more else self._next(position, None)
        head = {**dict(known[: position["seen"]]), **work.digests}
        rest = {entry: value for entry, value in known if entry not in head} if work.more else {}
        if work.more and len(head) >= self._settings.page // 2:
            await self._fingerprints.split(start, head, work.last, Chunk(chunk.until, rest))
            return {**position, "chunk": work.last, "from": work.last, "seen": 0}
        rows = {**head, **rest}
        if position["full"] or list(rows.items()) != known:
            await self._fingerprints.save(start, Chunk(chunk.until, rows))
        if work.more:
            return {**position, "from": work.last, "seen": len(head)}
        return self._next(position, chunk.until)

    def _next(self, position: Position, until: str | None) -> Position | None:
        if until is not None:
            return {**position, "chunk": until, "from": until, "seen": 0}
        return self._claims.beginning(position) if position["full"] else None


@dataclass(slots=True)
class _Work:
    """What one step does. `leaving`: entries that are forgotten once they are confirmed."""

    more: bool
    last: str = ""
    digests: dict[str, str] = field(default_factory=dict)
    changed: list[WantedRow] = field(default_factory=list)
    leaving: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    failures: list[RowFailure] = field(default_factory=list)

    def add_leaving(self, wanted: WantedRow) -> None:
        self.changed.append(wanted)
        self.leaving.add(wanted.entry)


def _customer(text: str | None) -> CustomerKey | None:
    return CustomerKey.parse(text) if text else None


def build_payment_job(
    settings: Settings,
    customisation: Customisation,
    salesforce: SalesforceClient,
    d365: D365Client,
    state: ListedStore,
    *,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> PaymentJob:
    own, switch = settings.payments, settings.app.flow_payments
    companies = customisation.company_rule(settings.d365.company)
    source = CustomerTransactions(d365, companies, terms=settings.d365.filter_terms, page=own.page)
    target = PaymentTarget(
        salesforce,
        settings.salesforce.customer_number_field,
        with_currency=bool(own.currencies),
        dry=switch == "dry",
    )
    rows = PaymentRows(companies, own.currencies)
    joint = JointTransactions(source, Aliases(state))
    claims = PaymentClaims(salesforce, joint, target, rows)
    return PaymentJob(state, joint, target, rows, claims, own, switch=switch, clock=clock)
