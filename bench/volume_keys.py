"""What the hashes of keys cost in a load of accounts, beside everything else that it does.

`python -m bench.volume_keys FOLDER` in a process of its own, on the rows of the package that the app has sent
(see `recorder`). What no load can do without: each key is held against hints, noted as sent and found again
among the numbers, once each. Prints {"rows", "fingerprints"}: seconds of this process.
"""

from __future__ import annotations

import csv
import io
import json
import sys
import time
from itertools import islice
from pathlib import Path

from integration.state.key_index import Checklist, KeySet, short_hashes

KEY = "SALESFORCEACCOUNTID"
SLICE = 10_000


def measure(folder: Path) -> dict[str, float]:
    pages: list[list[str]] = []
    for path in sorted(folder.glob("package-*-out.csv")):
        rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        place = next(rows).index(KEY)
        while page := [row[place] for row in islice(rows, SLICE)]:
            pages.append(page)
    count = sum(map(len, pages))
    sent = KeySet(count)
    started = time.process_time()
    held = [short_hashes(keys) for keys in pages]
    for keys in pages:
        sent.add_all(keys)
    checklist = Checklist(sent)
    found = sum(checklist.meet(key) is True for keys in pages for key in keys)
    seconds = time.process_time() - started
    if not found == count == sum(map(len, held)):
        raise RuntimeError(f"{found} of {count} keys were found again")
    return {"rows": count, "fingerprints": seconds}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
