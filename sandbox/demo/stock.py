"""A person in Salesforce asks how much there is."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from sandbox.demo.scene import Scene
from sandbox.stack import FUNCTION_KEY
from sandbox.verification.reading import exact

if TYPE_CHECKING:
    from sandbox.demo.stage import Row, Stage

_MEMBERS = {
    "onHand": "OnHandQuantity",
    "reserved": "ReservedOnHandQuantity",
    "available": "AvailableOnHandQuantity",
    "totalAvailable": "TotalAvailableQuantity",
}


class StockScene(Scene):
    """Records are the items asked for; one does not exist, which is a clear 404."""

    title = "stock check"
    trigger = "GET /api/inventory"

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage)
        self._answers: list[tuple[Row, str]] = []  # answer, warehouse
        self._found: list[str] = []

    async def run(self) -> None:
        rows = await self.stage.rows("d365", "WarehousesOnHandV2")
        items = self.stage.dice.sample(sorted({row["ItemNumber"] for row in rows}), 5)
        self._answers.append((await self._ask(f"/{items[0]}"), ""))
        several = await self._ask("", items=",".join(items[1:4]))
        self._answers += [(answer, "") for answer in several["items"]]
        place = next(row for row in rows if row["ItemNumber"] == items[4])["InventoryWarehouseId"]
        self._answers.append((await self._ask(f"/{items[4]}", warehouse=place), place))
        asked = [answer["itemNumber"] for answer, _ in self._answers]
        if asked != items:
            self._found.append(f"answered {asked} for {items}")
        refusal = await self._ask("/NO-SUCH-ITEM", status=404)
        if "NO-SUCH-ITEM" not in refusal["detail"]:
            self._found.append(f"the 404 does not name the item: {refusal}")
        self.own.records, self.own.synced, self.own.skipped = 6, len(self._answers), 1

    async def _ask(self, path: str, *, status: int = 200, **query: str) -> Row:
        sandbox = self.stage.sandbox
        started = time.monotonic()
        answer = await sandbox.http.get(
            f"{sandbox.app_url}/api/inventory{path}",
            params=query,
            headers={"x-functions-key": FUNCTION_KEY},
        )
        self.own.slowest = max(self.own.slowest, time.monotonic() - started)
        if answer.status_code != status:
            raise RuntimeError(f"{path} {query} answered {answer.status_code}: {answer.text}")
        body: Row = json.loads(answer.text, parse_float=Decimal)
        return body

    async def problems(self) -> list[str]:
        rows = await self.stage.rows("d365", "WarehousesOnHandV2")
        found = list(self._found)
        for answer, warehouse in self._answers:
            item = answer["itemNumber"]
            places: defaultdict[str, list[Row]] = defaultdict(list)
            for row in rows:
                if row["ItemNumber"] == item and warehouse in ("", row["InventoryWarehouseId"]):
                    places[row["InventoryWarehouseId"]].append(row)
            found += _differences(item, answer, [row for each in places.values() for row in each])
            answered = {each["warehouse"]: each for each in answer["warehouses"]}
            if answered.keys() != places.keys():
                found.append(f"{item}: warehouses {sorted(answered)} for {sorted(places)}")
                continue
            for place, held in places.items():
                found += _differences(f"{item} in {place}", answered[place], held)
        return found + self.counted(records=6, synced=5)


def _differences(label: str, answer: dict[str, Any], rows: list[Row]) -> list[str]:
    sums = {
        name: sum((exact(row[column]) for row in rows), Decimal(0))
        for name, column in _MEMBERS.items()
    }
    return [
        f"{label}: {name} is {answer[name]}, should be {value}"
        for name, value in sums.items()
        if answer[name] != value
    ]
