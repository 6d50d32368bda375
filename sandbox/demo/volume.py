"""Many at once: accounts by a data package, prices by Bulk API 2.0, as an operator and a timer start them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from typing import TYPE_CHECKING

from sandbox.demo.logbook import counts_of
from sandbox.demo.scene import Scene
from sandbox.salesforce.generate import generate_accounts

if TYPE_CHECKING:
    from sandbox.demo.stage import Row, Stage

_ACCOUNTS = 250
_PRODUCTS = 400


class VolumeScene(Scene):
    """A back-fill of accounts nobody was told of, two of them wrong; hundreds of new products."""

    title = "volume"
    trigger = "backfill, sync_prices"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._load: Row = {}
        self._prices: Row = {}

    async def run(self) -> None:
        stage = self.stage
        rows = generate_accounts(_ACCOUNTS + 2, stage.seed + 3)
        good = [{**row, "Name": f"{row['Name'][:60]} {n}"} for n, row in enumerate(rows[2:])]
        wrong_state = {**rows[0], "BillingCountry": "USA", "BillingState": "ZZ"}
        no_country = {**rows[1], "BillingCountry": "Atlantis"}
        keys = await stage.insert("Account", wrong_state, no_country, *good, events=False)
        stage.refused_accounts += keys[:2]
        stage.letters[keys[0]] = ("failed", "foreign-key")
        stage.letters[keys[1]] = ("failed", "mapping")
        stage.accounts += keys[2:]
        started = time.monotonic()
        self._load = await self._backfill()
        await stage.settled()
        self.own.slowest = time.monotonic() - started
        wanted = {"company": "usmf", "seed": stage.seed, "products": _PRODUCTS, "prices": 3}
        await stage.d365("POST", "generate", {**wanted, "first": 1001})
        ended, _ = await stage.timer("sync_prices", "prices")
        self._prices = counts_of(ended)
        own = self.own
        own.dead_letters = self._load.get("failed", 0)
        own.records = self._load.get("read", 0) + self._prices.get("read", 0)
        own.synced = own.records - own.dead_letters

    async def _backfill(self) -> Row:
        """The operator's command, in a process of its own."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "integration", "backfill", "accounts", "--yes", "--json"),
            env={**os.environ, **self.stage.sandbox.env},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        if process.returncode not in (0, 1):  # 1: some records failed, as they should
            raise RuntimeError(f"backfill ended with {process.returncode}: {err.decode()[-500:]}")
        found: Row = json.loads(out)
        return dict(found["job"]["counts"])

    async def problems(self) -> list[str]:
        """The records themselves are checked with the accounts and the prices."""
        found = []
        if self._load.get("created") != _ACCOUNTS or self._load.get("packages") != 1:
            found.append(f"the load counted {self._load}")
        if self._prices.get("products_written", 0) != _PRODUCTS:
            found.append(f"the price job counted {self._prices}")
        # Two of these, and the two that F&O refuses since the first scene.
        return found + self.counted(dead_letters=4)

    def summary(self) -> str:
        load = self._load
        return (
            f"Volume: {load.get('created')} customers in {load.get('packages')} data package, their numbers"
            f" back in Salesforce; {self._prices.get('read')} products compared, their"
            f" {self._prices.get('prices_written', 0)} new prices written by Bulk API 2.0."
        )
