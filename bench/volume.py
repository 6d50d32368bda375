"""`make bench-volume`: loads of many rows, and their table in docs/benchmarks.md.

Ends with 1 when a promise is missed. The promises hold for the full sizes; smaller ones are for a quick look
and are not written down.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import TYPE_CHECKING

from bench import page, volume_customers, volume_prices

if TYPE_CHECKING:
    from bench.result import Row

ROWS, CUSTOMERS = 1_000_000, 200_000
HEADING = "Volume"
INTRODUCTION = """\
Written by `make bench-volume`. Each load runs alone against the local stand-ins, with the settings of Azure.
The floor is the standard library in one process: `json.loads` and `csv.reader` parse the same pages and
files that the app has read, `csv.writer` writes the same rows, nothing else. CPU is that of the app's
process. What it uses while it only waits for messages belongs to the sandbox's Functions host and is measured
before the load; what does not depend on the rows (imports, tokens, first connections) follows from a load of
a tenth. Peak memory is the largest resident set, looked at every 50 ms.
"""


async def measure(agreements: int, customers: int) -> list[Row]:
    return [*await volume_prices.rows(agreements), *await volume_customers.rows(customers)]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.volume")
    parser.add_argument("--rows", type=int, default=ROWS, help="price agreements")
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    given = parser.parse_args()
    found = asyncio.run(measure(given.rows, given.customers))
    page.show(HEADING, found)
    if (given.rows, given.customers) == (ROWS, CUSTOMERS):
        page.write(HEADING, INTRODUCTION, found)
    return 0 if all(row.kept for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
