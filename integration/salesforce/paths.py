"""Paths below the instance, from its root.

httpx glues a base URL with a path in front of root-relative paths such as `nextRecordsUrl`
(Salesforce contract 2.12), so every request is built from the instance URL and one of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from integration.salesforce.encoding import api_name, field_path, segment
from integration.salesforce.ids import to_18


@dataclass(frozen=True, slots=True)
class Paths:
    """`api_version` such as `62.0`. Every method raises ValueError for what is not a name or an id."""

    api_version: str

    @property
    def root(self) -> str:
        return f"/services/data/v{self.api_version}"

    @property
    def composite(self) -> str:
        return f"{self.root}/composite"

    @property
    def limits(self) -> str:
        return f"{self.root}/limits"

    @property
    def collection(self) -> str:
        return f"{self.root}/composite/sobjects"

    def query(self, soql: str, *, include_deleted: bool = False) -> str:
        return f"{self.root}/{'queryAll' if include_deleted else 'query'}?q={segment(soql)}"

    def rows(self, object_name: str) -> str:
        return f"{self.root}/sobjects/{api_name(object_name)}"

    def row(self, object_name: str, record_id: str, fields: tuple[str, ...] = ()) -> str:
        path = f"{self.rows(object_name)}/{to_18(record_id)}"
        return (
            f"{path}?fields={','.join(field_path(field) for field in fields)}" if fields else path
        )

    def row_by_key(self, object_name: str, field: str, value: str) -> str:
        return f"{self.rows(object_name)}/{api_name(field)}/{segment(value)}"

    def describe(self, object_name: str) -> str:
        return f"{self.rows(object_name)}/describe"

    def collection_of(self, object_name: str, field: str | None = None) -> str:
        path = f"{self.collection}/{api_name(object_name)}"
        return f"{path}/{api_name(field)}" if field else path

    def bulk(self, kind: Literal["ingest", "query"], job: str = "", part: str = "") -> str:
        """The Bulk API 2.0 jobs of a kind, one of them, or its `part` such as `batches` or `results`."""
        tail = "".join(f"/{segment(piece)}" for piece in (job, part) if piece)
        return f"{self.root}/jobs/{kind}{tail}"
