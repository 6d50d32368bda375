"""Finished rows into Salesforce by simple-salesforce, alone in a process; beside `upsert_app`.

`python -m bench.upsert_simple_salesforce`, with JSON on stdin: {"url", "session", "object", "external_id",
"wait", "files"}: CSV files with a header row, which is its most frugal way to take rows. Prints {"processed",
"failed", "cpu"}: rows, and seconds of this process.
"""

from __future__ import annotations

import json
import sys
import time

from simple_salesforce.bulk2 import SFBulk2Handler


def main() -> None:
    given = json.load(sys.stdin)
    bulk = SFBulk2Handler(given["session"], f"{given['url']}/services/data/v62.0/jobs/")
    table = getattr(bulk, given["object"])
    jobs = [
        job
        for file in given["files"]
        for job in table.upsert(
            csv_file=file, external_id_field=given["external_id"], wait=given["wait"]
        )
    ]
    done = {
        "processed": sum(job["numberRecordsProcessed"] for job in jobs),
        "failed": sum(job["numberRecordsFailed"] for job in jobs),
        "cpu": time.process_time(),
    }
    print(json.dumps(done))


if __name__ == "__main__":
    main()
