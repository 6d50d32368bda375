"""What digests and the hashes of keys cost in a load of accounts, beside everything else that it does.

`python -m bench.volume_keys FOLDER` in a process of its own, on the rows of the package that the app has sent
(see `recorder`). For each row what no load can do without: its digest, and its key looked up in the index of
the target, held, noted as sent and found again, once each. Prints {"rows", "fingerprints"}: seconds of this
process.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import sys
import time
from itertools import islice
from pathlib import Path

from integration.mapping.compiled import DIGEST_SIZE
from integration.state.key_index import KeyIndex, KeySet, short_hash

KEY = "SALESFORCEACCOUNTID"
SLICE = 10_000


def measure(folder: Path) -> dict[str, float]:
    index, sent = KeyIndex([], digests=1, size=DIGEST_SIZE), KeySet()
    count, seconds = 0, 0.0
    for path in sorted(folder.glob("package-*-out.csv")):
        rows = csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        place = next(rows).index(KEY)
        while page := list(islice(rows, SLICE)):
            keys = [row[place] for row in page]
            started = time.process_time()
            for row, key in zip(page, keys, strict=True):
                hashlib.blake2b("\x1f".join(row).encode(), digest_size=DIGEST_SIZE).digest()
                index.find(key)
                short_hash(key)
                sent.add(key)
            found = sum(key in sent for key in keys)
            seconds += time.process_time() - started
            if found != len(page):
                raise RuntimeError(f"{found} of {len(page)} keys were found again")
            count += len(page)
    return {"rows": count, "fingerprints": seconds}


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
