"""`make bench`: prints the table and writes it to docs/benchmarks.md.

Ends with 1 when a promise is missed. The promises are ratios and counts of one run, never seconds.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from bench import accounts, imports, invoices, orders, page, payments, webhook

if TYPE_CHECKING:
    from bench.result import Row

HEADING = "Every day"
INTRODUCTION = f"""\
Written by `make bench`. Both ways run against the same local stand-ins in the same run, with
{accounts.PER_CALL_MS} ms per call plus {accounts.PER_OPERATION_MS} ms per operation inside a $batch or\
 Collections call.
Beside the app stands the naive way: it makes one read, one lookup, one write and one write-back per account;
it is measured on {accounts.NAIVE_SAMPLE} accounts and scaled. What counts are the calls and the ratios;\
 seconds depend on the
machine. The app's time includes its cold start and opening its connections.
"""

# Each in its own sandbox, one after the other.
MEASURED = (accounts.rows, orders.rows, invoices.rows, payments.rows, webhook.rows)


async def _measure() -> list[Row]:
    return [row for rows in MEASURED for row in await rows()]


def main() -> int:
    rows = [*asyncio.run(_measure()), *imports.rows()]
    page.show(HEADING, rows)
    page.write(HEADING, INTRODUCTION, rows)
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
