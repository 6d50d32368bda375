"""Finished rows into Salesforce by the app's Bulk client, alone in a process.

`python -m bench.upsert_app`, with JSON on stdin: {"env": the app settings, "object", "external_id",
"columns", "spools": [names of spools in the state container]}. Prints {"processed", "failed", "cpu"}: rows,
and seconds of this process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import Any

import httpx

from integration.connections import state_container
from integration.salesforce.bulk_load import BulkLoad
from integration.salesforce.client import SalesforceClient
from integration.settings import load_settings
from integration.state.blobs import BlobState


async def upsert(given: dict[str, Any]) -> dict[str, float]:
    settings = load_settings()
    processed = failed = 0
    async with httpx.AsyncClient() as http:
        with state_container(settings.azure) as container:
            client = SalesforceClient(settings.salesforce, http)
            load = BulkLoad(client, BlobState(container), settings.volume)
            for spool in given["spools"]:
                position = load.begin(
                    spool,
                    object=given["object"],
                    columns=given["columns"],
                    operation="upsert",
                    external_id=given["external_id"],
                    key=given["external_id"],
                    name=f"{spool}-result",
                )
                while (advance := await load.advance(position)).result is None:
                    position = advance.position
                    await asyncio.sleep(advance.delay)
                processed += advance.result.processed
                failed += advance.result.failed
    return {"processed": processed, "failed": failed, "cpu": time.process_time()}


def main() -> None:
    given = json.load(sys.stdin)
    os.environ.update(given["env"])
    print(json.dumps(asyncio.run(upsert(given))))


if __name__ == "__main__":
    main()
