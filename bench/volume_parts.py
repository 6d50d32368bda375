"""What price precedence and fingerprints cost, beside everything else that the price job does.

`python -m bench.volume_parts FOLDER MAPPING_FILE COMPANY` times the job's own pure functions in a process of
its own, on the rows that the app has read (see `recorder`). Prints {"items", "price precedence",
"fingerprints"}: seconds of this process.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from integration.d365.values import json_loads
from integration.errors import RecordRejected
from integration.flows.price_rules import PriceRules
from integration.flows.pricing.item_fields import ItemFields
from integration.flows.pricing.item_prices import ItemPrices
from integration.flows.pricing.mapper import MappedItem
from integration.mapping.customisation import load_customisation
from integration.state.pushed import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration.flows.flow import Record

SLICE = 250  # items that the job looks at together
PART = 15_000  # items of one part of digests
_TRAITS = ("*", "+standard|USD")

Item = tuple[str, "Record", list["Record"]]


class Parts:
    def __init__(self, mapping: str, company: str) -> None:
        prices = load_customisation(mapping).prices
        today = prices.today(datetime.now(UTC))
        self._fields = ItemFields(prices)
        self._prices = ItemPrices(PriceRules(prices, company), today)
        self._seen = Rows()
        self.items = 0
        self.precedence = 0.0
        self.fingerprints = 0.0

    def look(self, items: list[Item]) -> None:
        skipped: Counter[str] = Counter()
        started = time.process_time()
        found = [self._prices.prices_of((row,), rows, skipped) for _, row, rows in items]
        self.precedence += time.process_time() - started
        mapped = []
        for (item, row, _), prices in zip(items, found, strict=True):
            try:
                mapped.append(MappedItem(item, self._fields.cells((row,), ()), prices))
            except RecordRejected:
                continue
        started = time.process_time()
        for each in mapped:
            self._seen.add(each.item, each.digest(), _TRAITS, ())
        self.fingerprints += time.process_time() - started
        self.items += len(items)
        if len(self._seen) >= PART:
            self.confirm()

    def confirm(self) -> None:
        """Kept until the rows have arrived, then written as what the next run compares with."""
        started = time.process_time()
        kept = Rows()
        for row in Rows.from_bytes(self._seen.to_bytes()):
            kept.add(row.key, row.digest, row.traits, row.traits)
        kept.to_bytes()
        self.fingerprints += time.process_time() - started
        self._seen = Rows()


def whole_items(folder: Path) -> Iterator[Item]:
    """Each item of the recorded pages once, with all its agreements."""
    pages: list[Path] = []
    products: dict[str, Record] = {}
    for path in sorted(folder.glob("d365-*.json")):
        if b"SalesUnitSymbol" in path.read_bytes()[:2000]:
            products |= {row["ItemNumber"]: row for row in json_loads(path.read_bytes())["value"]}
        else:
            pages.append(path)
    agreements: dict[str, list[Record]] = {}
    for path in pages:
        agreements = {}  # the last item of the page before was cut off, and comes again
        for row in json_loads(path.read_bytes())["value"]:
            agreements.setdefault(row["ItemNumber"], []).append(row)
        last = list(agreements)[-1:]
        for item in [name for name in agreements if name not in last and name in products]:
            yield item, products.pop(item), agreements[item]
    for item in agreements.keys() & products.keys():
        yield item, products.pop(item), agreements[item]


def main() -> None:
    folder, mapping, company = sys.argv[1:]
    parts = Parts(Path(mapping).read_text(encoding="utf-8"), company)
    items = whole_items(Path(folder))
    while piece := list(islice(items, SLICE)):
        parts.look(piece)
    parts.confirm()
    print(
        json.dumps(
            {
                "items": parts.items,
                "price precedence": parts.precedence,
                "fingerprints": parts.fingerprints,
            }
        )
    )


if __name__ == "__main__":
    main()
