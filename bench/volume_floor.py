"""The floor: the standard library alone parses what the app parsed and writes what it wrote.

`python -m bench.volume_floor FOLDER` in a process of its own, with the files that `recorder` keeps. JSON is
parsed by json.loads and CSV by csv.reader, a page at a time; CSV is written by csv.writer from rows that are
there already. Nothing is looked up, compared or mapped. Reading and unpacking the files is not counted.
Prints {"rows_in", "rows_out", "cpu"}: seconds of this process, the median of three rounds.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import statistics
import sys
import time
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

ROUNDS = 3
SLICE = 10_000  # rows of one write


@dataclass
class Floor:
    rows_in: int = 0
    rows_out: int = 0
    cpu: float = 0.0

    def parse_json(self, body: bytes) -> None:
        started = time.process_time()
        page = json.loads(body)
        self.cpu += time.process_time() - started
        self.rows_in += len(page.get("value", ()))

    def parse_csv(self, body: bytes) -> None:
        started = time.process_time()
        rows = csv.reader(io.StringIO(body.decode(), newline=""))
        while page := list(islice(rows, SLICE)):
            self.rows_in += len(page)
        self.cpu += time.process_time() - started

    def write_csv(self, body: bytes) -> None:
        rows = csv.reader(io.StringIO(body.decode(), newline=""))
        while page := list(islice(rows, SLICE)):
            started = time.process_time()
            text = io.StringIO(newline="")
            csv.writer(text, lineterminator="\n").writerows(page)
            text.getvalue().encode()
            self.cpu += time.process_time() - started
            self.rows_out += len(page)


def measure(folder: Path) -> Floor:
    floor = Floor()
    for path in sorted(folder.iterdir()):
        body = path.read_bytes()
        name = path.name
        if name.endswith(".gz"):
            body, name = gzip.decompress(body), name.removesuffix(".gz")
        if name.endswith(".json"):
            floor.parse_json(body)
        elif name.endswith("-in.csv"):
            floor.parse_csv(body)
        else:
            floor.write_csv(body)
    return floor


def main() -> None:
    rounds = [measure(Path(sys.argv[1])) for _ in range(ROUNDS)]
    cpu = statistics.median(each.cpu for each in rounds)
    print(json.dumps({"rows_in": rounds[0].rows_in, "rows_out": rounds[0].rows_out, "cpu": cpu}))


if __name__ == "__main__":
    main()
