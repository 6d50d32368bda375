"""The URLs of F&O: `cross-company=true` on every one below `/data`, next links re-based to our host.

Without `cross-company` F&O shows only the default company of the app's user, and a write elsewhere ends
as "No resources were found" (F&O contract 2.2, 9).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from integration.d365.filters import Filter, encode_option
from integration.d365.literals import NAMESPACE, Key, odata_name
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Sequence

CROSS_COMPANY = "cross-company=true"


@dataclass(frozen=True, slots=True)
class Query:
    """The options of one read. `expand` goes one level deep, more is not supported."""

    filter: Filter | None = None
    select: Sequence[str] | None = None
    expand: Sequence[str] | None = None
    orderby: Sequence[str] | None = None
    top: int | None = None
    count: bool = False

    def encoded(self) -> str:
        options = [CROSS_COMPANY]
        if self.filter is not None:
            options.append(f"$filter={self.filter.encoded}")
        for name, values in (
            ("$select", self.select),
            ("$expand", self.expand),
            ("$orderby", self.orderby),
        ):
            if values:
                options.append(f"{name}={encode_option(','.join(values))}")
        if self.top is not None:
            options.append(f"$top={self.top}")
        if self.count:
            options.append("$count=true")
        return "&".join(options)


@dataclass(frozen=True, slots=True)
class Urls:
    base: str

    def rows(self, entity_set: str, query: Query | None = None) -> str:
        return f"{self.base}/data/{odata_name(entity_set)}?{(query or Query()).encoded()}"

    def record(self, entity_set: str, key: Key, query: Query | None = None) -> str:
        options = (query or Query()).encoded()
        return f"{self.base}/data/{odata_name(entity_set)}({key.encoded()})?{options}"

    def action(self, entity_set: str, name: str, key: Key | None = None) -> str:
        target = odata_name(entity_set) + (f"({key.encoded()})" if key else "")
        return f"{self.base}/data/{target}/{NAMESPACE}.{odata_name(name)}?{CROSS_COMPANY}"

    def batch(self) -> str:
        return f"{self.base}/data/$batch"

    def service(self, *names: str) -> str:
        return f"{self.base}/api/services/" + "/".join(odata_name(name) for name in names)

    def metadata(self, collection: str, name: str) -> str:
        text = quote(name.replace("'", "''"), safe="")
        return f"{self.base}/metadata/{collection}('{text}')"

    def next_page(self, link: str) -> str:
        """The server's next link on the configured host: behind a gateway it names another one.

        Keeps what follows `/data/`, and adds cross-company where the server dropped it (contract 2.4).
        Raises ContractError when the link leads out of `/data/`.
        """
        parts = urlsplit(link)
        _, found, tail = parts.path.rpartition("/data/")
        if not found and (parts.scheme or parts.path.startswith("/")):
            raise ContractError("F&O sent a next link outside of /data/", system="d365")
        path = tail if found else parts.path
        query = parts.query
        if "cross-company=" not in query.lower():
            query = f"{query}&{CROSS_COMPANY}" if query else CROSS_COMPANY
        return f"{self.base}/data/{path}?{query}"
