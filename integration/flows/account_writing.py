"""Writes accounts for customers of F&O, and the account's id into a customer that had none.

An existing account is linked first: the customer's ETag tells whether somebody was faster, and then nothing
was written. A new account comes first, upserted by the customer's number, so that an attempt that ends in
between finds the account by its number the next time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.d365.literals import COMPANY
from integration.errors import RecordNeedsReview
from integration.flows.account_links import ACCOUNT
from integration.flows.creating import RecordWriter, Target
from integration.flows.customers import ENTITY_SET, NUMBER
from integration.flows.flow import Write
from integration.salesforce.errors import DuplicateRecord
from integration.telemetry import audit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.flows.context import FlowContext
    from integration.flows.flow import Record
    from integration.flows.outcomes import Skipped
    from integration.salesforce.collections import RowResult

_UNIQUE = "DUPLICATE_VALUE"
ACCOUNTS = "accounts"  # the flow that holds are about


class AccountWriter:
    def __init__(self, context: FlowContext, number_field: str, id_field: str) -> None:
        self._salesforce = context.salesforce
        self._number_field = number_field
        self._id_field = id_field
        self._holds = context.holds
        target = Target(ENTITY_SET, "customers", NUMBER, id_field, announced=False)
        self._customers = RecordWriter(context.d365, context.intents, context.settings, target)

    async def write(
        self, changes: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Skipped | Exception]:
        """`key` of a change: the account's Id, the customer's key, or both for a link."""
        links = {
            key: _link(change, self._id_field, str(change.key["Id"]))
            for key, change in changes.items()
            if change.operation == "update" and NUMBER in change.key
        }
        answers: dict[str, Record | Skipped | Exception] = {key: {} for key in changes}
        held = await self._held({key: str(changes[key].key["Id"]) for key in links})
        free = {key: link for key, link in links.items() if key not in held}
        answers |= held | await self._link(free, buckets)
        ready = {
            key: change
            for key, change in changes.items()
            if change.values and not isinstance(answers[key], Exception)
        }
        ids = await self._write_accounts(ready, answers)
        born = {
            key: _link(changes[key], self._id_field, account_id)
            for key, account_id in ids.items()
            if changes[key].operation == "create"
        }
        return answers | await self._link(born, buckets)

    async def _held(self, accounts: Mapping[str, str]) -> dict[str, Record | Skipped | Exception]:
        """Links to accounts for which a running load may be creating a customer wait."""
        if self._holds is None or not accounts:
            return {}
        held = await self._holds.held(ACCOUNTS, set(accounts.values()))
        return {key: held[account] for key, account in accounts.items() if account in held}

    async def _link(
        self, links: Mapping[str, Write], buckets: Mapping[str, str]
    ) -> dict[str, Record | Skipped | Exception]:
        answers: dict[str, Record | Skipped | Exception] = {}
        for key, answer in (await self._customers.write(links, buckets)).items():
            answers[key] = answer
            if not isinstance(answer, Exception):
                audit("customers", "link", key, [self._id_field])
        return answers

    async def _write_accounts(
        self, changes: Mapping[str, Write], answers: dict[str, Record | Skipped | Exception]
    ) -> dict[str, str]:
        """The ids of those written; errors go into `answers`."""
        old = {key: each for key, each in changes.items() if each.operation == "update"}
        new = {key: each for key, each in changes.items() if each.operation == "create"}
        results: dict[str, RowResult] = {}
        if old:
            rows = [{"Id": each.key["Id"], **each.values} for each in old.values()]
            done = await self._salesforce.update_many(ACCOUNT, rows)
            results |= zip(old, done, strict=True)
        if new:
            created = [each.values for each in new.values()]
            done = await self._salesforce.upsert_many(ACCOUNT, self._number_field, created)
            results |= zip(new, done, strict=True)
        for key, result in results.items():
            if isinstance(result.error, DuplicateRecord):
                answers[key] = _duplicate(result.error)
            elif result.error is not None:
                answers[key] = result.error
        return {key: result.id for key, result in results.items() if result.id is not None}


def _link(change: Write, id_field: str, account_id: str) -> Write:
    key = {COMPANY: change.key[COMPANY], NUMBER: change.key[NUMBER]}
    return Write("update", {id_field: account_id}, key, change.etag)


def _duplicate(error: DuplicateRecord) -> RecordNeedsReview:
    if error.reason == _UNIQUE:
        reason, text = (
            "number-on-other-account",
            "another account already holds this customer number",
        )
    else:
        reason, text = (
            "possible-duplicate-account",
            "Salesforce has an account much like this customer",
        )
    return RecordNeedsReview(f"{text}: {error.description}", reason=reason, system="salesforce")
