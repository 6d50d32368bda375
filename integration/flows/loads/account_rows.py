"""Accounts as rows of a Bulk query, against an index of the customers: what is clear, and what the flow sees.

Clear is one customer with the account's id in the right company, or none and nothing that names one.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365.filters import ne
from integration.d365.literals import COMPANY
from integration.errors import RecordRejected
from integration.flows.accounts import ApprovedMatch
from integration.flows.customers import ENTITY_SET, NUMBER
from integration.flows.gone.decisions import is_blank
from integration.flows.loads.definition import WholeRun
from integration.flows.outcomes import Skipped
from integration.flows.reading import key_of
from integration.mapping.shapes import created_of, kept_of
from integration.mapping.tables import FieldProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.d365.filters import Filter
    from integration.flows.flow import Record
    from integration.flows.loads.accounts import AccountLoad
    from integration.flows.loads.definition import Known
    from integration.flows.loads.findings import Findings
    from integration.flows.match_book import Approved
    from integration.mapping.accounts import AccountMapping
    from integration.mapping.compiled import CompiledTable
    from integration.mapping.shapes import Kept, Shape, Texts
    from integration.state.key_index import IndexPart


@dataclass(frozen=True, slots=True)
class _Creation:
    """Whether accounts may be created, as the flow says; `skip` is its reason not to."""

    skip: str | None


class CustomerRun(WholeRun):
    def __init__(
        self,
        load: AccountLoad,
        mapping: AccountMapping,
        compiled: CompiledTable,
        book: Approved,
        watched: tuple[str, ...],
    ) -> None:
        """`watched`: fields of a customer that a deletion may have set."""
        self._load = load
        self._mapping = mapping
        self._compiled = compiled
        self._book = book
        self._watched = watched
        self.columns = compiled.columns
        self.digests = len(compiled.shapes)
        described = repr([(shape.targets, shape.comparisons) for shape in compiled.shapes])
        self.signature = hashlib.blake2b(described.encode(), digest_size=8).hexdigest()
        self.filter: Filter | None = ne(load.id_field, "")
        compared = mapping.table.target_fields()
        keys = (COMPANY, NUMBER, load.id_field)
        self.select = tuple(dict.fromkeys((*keys, *compared, *watched)))
        rule = mapping.companies
        self.companies = None if rule.decides_freely else rule.companies
        place = {name: number for number, name in enumerate(self.columns)}
        self._id, self._named = place["Id"], place[load.number_field]
        deciding = [name for name in mapping.companies.source_fields(place) if name in place]
        self._deciding = [place[name] for name in deciding]
        self._companies: dict[tuple[str, ...], str | None] = {}
        self._skips: dict[int, str | None] = {}
        self._creations: dict[bool, _Creation] = {}

    def index(self, row: Record, part: IndexPart) -> None:
        company, number = key_of(row, ENTITY_SET, NUMBER)
        digests = [self._compiled.digest(shape, row) for shape in self._compiled.shapes]
        if not all(is_blank(row.get(field)) for field in self._watched):
            number = ""  # not clear: it may have been set because of a deletion
        part.add(str(row.get(self._load.id_field)), company, number, digests)

    def judge(
        self,
        rows: Sequence[Sequence[str]],
        known: Known,
        findings: Findings,
        company: str | None,
    ) -> None:
        ordinary, others = self._compiled.by_shape(rows)
        for values in others:
            self._slowly(values, findings, company)
        for shape, mine in ordinary:
            if reason := self._skip_reason(shape, mine[0]):
                findings.counts[f"skipped:{reason}"] += len(mine)
            else:
                self._judge(shape, mine, known, findings, company)

    def _judge(
        self,
        shape: Shape,
        rows: Sequence[Sequence[str]],
        known: Known,
        findings: Findings,
        company: str | None,
    ) -> None:
        load, compiled = self._load, self._compiled
        find = known.index.find
        new: list[tuple[str, Sequence[str], Texts]] = []
        changed: defaultdict[str, list[tuple[str, Texts]]] = defaultdict(list)
        unchanged = 0
        for values, ordinary in zip(rows, compiled.kept(shape, rows), strict=True):
            mine = self._company_of(values)
            if mine is None:
                self._slowly(values, findings, company)
                continue
            if company and mine != company:
                findings.counts["skipped:other-company"] += 1
                continue
            texts, digest = ordinary, None
            if texts is None:
                kept = self._slow_texts(shape, values, findings)
                if kept is None:
                    continue
                texts, digest = kept
            key = values[self._id]
            entry = find(key)
            if entry is None:
                new.append((mine, values, texts))
                continue
            if entry.unclear or entry.company != mine:
                findings.look(key)
                continue
            digest = digest or compiled.digest_of_texts(shape, texts)
            equal = entry.digests[shape.number] == digest
            if known.spelled and not equal:
                findings.look(key)
                continue
            number = load.number_of(entry.company, entry.number)
            if values[self._named] != number:
                findings.back(key, number)
            if equal:
                unchanged += 1
            else:
                changed[mine].append((key, (entry.number, *texts)))
        findings.counts["unchanged"] += unchanged
        for mine, sent in changed.items():
            findings.send(mine, "update", (NUMBER, *shape.targets), sent)
        self._new(shape, new, known, findings)

    def _new(
        self,
        shape: Shape,
        rows: list[tuple[str, Sequence[str], Texts]],
        known: Known,
        findings: Findings,
    ) -> None:
        columns = (NUMBER, *shape.targets, *shape.create_only)
        sent: defaultdict[str, list[tuple[str, Texts]]] = defaultdict(list)
        born = self._compiled.created(shape, [values for _, values, _ in rows])
        book, drawn, doubtful = self._book, self._load.number_is_drawn, known.doubtful
        for (company, values, texts), more in zip(rows, born, strict=True):
            key = values[self._id]
            if values[self._named] or key in book.links or key in doubtful:
                findings.look(key)
                continue
            approved = key in book.create
            creation = self._creations.get(approved) or self._creation(approved, values)
            if creation is None:
                findings.look(key)
            elif creation.skip:
                findings.counts[f"skipped:{creation.skip}"] += 1
            else:
                cells = self._slow_creation(shape, values, findings) if more is None else more
                if cells is not None:
                    row = ("" if drawn else key, *texts, *cells)
                    sent[company].append((key, row))
        for company, mine in sent.items():
            findings.send(company, "create", columns, mine)

    def _slow_creation(
        self, shape: Shape, values: Sequence[str], findings: Findings
    ) -> Texts | None:
        account = self._mapping.map(self._compiled.record(values))
        if error := account.creation_rejection():
            findings.fail(values[self._id], error)
            return None
        return created_of(shape, account.mapped)

    def _creation(self, approved: bool, values: Sequence[str]) -> _Creation | None:
        """Asks the flow, once for accounts that a person approved and once for the others. None where it
        says something about this one account only."""
        try:
            wanted = self._load.flow.wanted(self._compiled.record(values))
            if isinstance(wanted, Skipped):
                return None
            match = ApprovedMatch((), None, None, approved)
            answer = self._load.flow.compare(wanted, match)
        except Exception:
            return None
        found = _Creation(answer.reason if isinstance(answer, Skipped) else None)
        self._creations[approved] = found
        return found

    def _slow_texts(self, shape: Shape, values: Sequence[str], findings: Findings) -> Kept | None:
        try:
            return kept_of(shape, self._mapping.map(self._compiled.record(values)).mapped)
        except RecordRejected as error:
            findings.fail(values[self._id], error)
        except KeyError:
            findings.look(values[self._id])
        return None

    def _slowly(self, values: Sequence[str], findings: Findings, company: str | None) -> None:
        """A row that is rejected as a whole, or of a kind that nobody foresaw."""
        record, key = self._compiled.record(values), values[self._id]
        if reason := self._mapping.skip_reason(record):
            findings.counts[f"skipped:{reason}"] += 1
            return
        try:
            self._mapping.map(record)
        except RecordRejected as error:
            if company:  # nobody can tell whether it belongs there
                findings.counts["skipped:unknown-company"] += 1
            else:
                findings.fail(key, error)
        else:
            findings.look(key)

    def _company_of(self, values: Sequence[str]) -> str | None:
        deciding = tuple([values[place] for place in self._deciding]) if self._deciding else ()
        if deciding not in self._companies:
            if len(self._companies) > 10_000:
                self._companies.clear()
            found = self._mapping.companies.find(self._compiled.record(values))
            self._companies[deciding] = None if isinstance(found, FieldProblem) else found
        return self._companies[deciding]

    def _skip_reason(self, shape: Shape, values: Sequence[str]) -> str | None:
        if shape.number not in self._skips:
            record = self._compiled.record(values)
            self._skips[shape.number] = self._mapping.skip_reason(record)
        return self._skips[shape.number]
