"""A million price agreements of 200,000 items, F&O to Salesforce, through the real job and the stand-ins.

Twice: agreements read as OData pages, and out of a data package, the way above EXPORT_THRESHOLD rows. Each
run at a tenth of the size tells whether memory grows with the rows. The floor is the standard library parsing
and writing the same tables (`volume_floor`); fingerprints and price precedence are measured apart on the same
rows (`volume_parts`). At the end simple-salesforce and the app's own Bulk client upsert the same
PricebookEntry rows.
"""

from __future__ import annotations

import csv
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bench.accounts import salesforce_token
from bench.children import Child, run_child
from bench.result import Row
from bench.volume_rows import PEAK_GROWTH, calls_row, cpu_rows, memory_row
from bench.volume_run import Run, volume_sandbox
from integration.jobs.kinds import PRICES
from integration.state.blobs import BlobState
from integration.state.spool import Spool
from sandbox.stack import COMPANY

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.volume_run import VolumeSandbox

PER_ITEM = 5  # agreements
PROMISE_CALLS = 170  # for a million agreements in pages of 10,000 rows
BULK = {"BULK_THRESHOLD": "1"}  # also of few rows
PAGES = {**BULK, "EXPORT_THRESHOLD": "1000000000"}
PACKAGE = {**BULK, "EXPORT_THRESHOLD": "1"}
MAPPING = f"""
[prices]
base_currencies = {{ {COMPANY} = "USD" }}
[prices.books."Direct Sales"]
group = "DEALER"
[prices.books."Retail"]
group = "RETAIL"
"""
_PART = 16_000_000  # characters of the parts for the app's client


@dataclass(frozen=True)
class Parts:
    """Seconds of CPU: the floor, and by name what is reported apart."""

    floor: float
    apart: Mapping[str, float]


@dataclass(frozen=True)
class Upserts:
    """The same rows, once each."""

    app: Child
    simple: Child


@dataclass(frozen=True)
class Measured:
    pages: Run
    pages_tenth: Run
    pages_parts: Parts
    package: Run
    package_tenth: Run
    package_parts: Parts
    upserts: Upserts


async def rows(agreements: int) -> list[Row]:
    return _rows(agreements, await measure(agreements))


async def measure(agreements: int) -> Measured:
    """Raises RuntimeError where a job fails or does not write all prices."""
    pages, pages_parts, upserts = await by_pages(agreements)
    pages_tenth = await alone(agreements // 10, **PAGES)
    package, floor = await by_package(agreements)
    package_tenth = await alone(agreements // 10, **PACKAGE)
    # The items are the same, so is what is done with them.
    package_parts = Parts(floor, pages_parts.apart)
    return Measured(pages, pages_tenth, pages_parts, package, package_tenth, package_parts, upserts)


async def by_pages(agreements: int) -> tuple[Run, Parts, Upserts]:
    with mapping_file() as mapping:
        async with volume_sandbox(MAPPING_FILE=mapping, **PAGES) as world:
            run = await run_prices(world, agreements)
            return run, await parts_of(world, mapping), await upserts(world, run)


async def by_package(agreements: int) -> tuple[Run, float]:
    """The run, and the floor."""
    with mapping_file() as mapping:
        async with volume_sandbox(MAPPING_FILE=mapping, **PACKAGE) as world:
            run = await run_prices(world, agreements)
            await world.keep_packages("-in.csv")
            return run, (await run_child("volume_floor", str(world.folder))).answer["cpu"]


async def alone(agreements: int, **settings: str) -> Run:
    with mapping_file() as mapping:
        async with volume_sandbox(MAPPING_FILE=mapping, **settings) as world:
            return await run_prices(world, agreements)


@contextmanager
def mapping_file() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        path = Path(folder) / "mapping.toml"
        path.write_text(MAPPING, encoding="utf-8")
        yield str(path)


async def run_prices(world: VolumeSandbox, agreements: int) -> Run:
    sandbox, items = world.sandbox, agreements // PER_ITEM
    for name in ("ReleasedProductsV2", "SalesPriceAgreements"):  # the seed data
        url = f"{sandbox.d365.url}/sandbox/state/{name}"
        (await sandbox.http.delete(url)).raise_for_status()
    await world.post("d365", "generate", {"products": items, "agreements": agreements})
    await world.post("salesforce", "state/Pricebook2", [{"Name": "Retail", "IsActive": True}])
    run = await world.by_timer("sync_prices", PRICES)
    held = sum(1 for row in _entries(world).values() if row.get("D365_Key__c"))
    if run.counts.get("read") != items or run.counts.get("prices_written") != held or not held:
        raise RuntimeError(f"{held} prices in Salesforce, the job says {run.counts}")
    return run


async def parts_of(world: VolumeSandbox, mapping: str) -> Parts:
    floor = (await run_child("volume_floor", str(world.folder))).answer["cpu"]
    apart = (await run_child("volume_parts", str(world.folder), mapping, COMPANY)).answer
    return Parts(floor, {name: apart[name] for name in ("price precedence", "fingerprints")})


async def upserts(world: VolumeSandbox, run: Run, *, wait: float = 1) -> Upserts:
    """The rows of PricebookEntry that the job has sent, into an org that has the products alone.

    `wait` is simple-salesforce's, in seconds between two polls. With its usual 5 it meets the stand-in's end
    of idle connections, which it does not survive.
    """
    files = [path for path in sorted(world.folder.glob("*-out.csv")) if _is_of_entries(path)]
    with files[0].open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    about = {"object": "PricebookEntry", "external_id": columns[0]}
    spools = await _put(world, files)
    _remove_entries(world)
    env = world.sandbox.env
    own = await run_child(
        "upsert_app", given={**about, "env": env, "columns": columns, "spools": spools}
    )
    _remove_entries(world)
    session = await salesforce_token(world.sandbox)
    place = {"url": world.sandbox.salesforce.url, "session": session, "wait": wait}
    names = [str(path) for path in files]
    simple = await run_child("upsert_simple_salesforce", given={**about, **place, "files": names})
    for child in (own, simple):
        done = child.answer["processed"] - child.answer["failed"]
        if done != run.counts["prices_written"]:
            raise RuntimeError(f"{done} of {run.counts['prices_written']} rows were written")
    return Upserts(own, simple)


def _is_of_entries(path: Path) -> bool:
    with path.open(encoding="utf-8") as file:
        return "Pricebook2Id" in file.readline()


async def _put(world: VolumeSandbox, files: list[Path]) -> list[str]:
    """The files as spools for the app's client, which takes its rows from there as in a job. No cell of
    these files holds a line break."""
    names = []
    with world.state() as container:
        for path in files:
            names.append(f"bench/{path.stem}")
            spool = Spool(BlobState(container), names[-1])
            with path.open(encoding="utf-8", newline="") as file:
                file.readline()
                for part, lines in enumerate(iter(lambda: file.readlines(_PART // 8), [])):
                    await spool.put(part, "".join(lines).encode())
    return names


def _entries(world: VolumeSandbox) -> dict[str, dict[str, object]]:
    return world.sandbox.salesforce.org.store.tables["PricebookEntry"].rows


def _remove_entries(world: VolumeSandbox) -> None:
    table = world.sandbox.salesforce.org.store.tables["PricebookEntry"]
    for key in list(table.rows):
        table.set(key, None)


def _rows(agreements: int, found: Measured) -> list[Row]:
    what = f"{agreements:,} price agreements of {agreements // PER_ITEM:,} items"
    routes = (
        ("OData pages", found.pages, found.pages_tenth, found.pages_parts),
        ("a data package", found.package, found.package_tenth, found.package_parts),
    )
    rows: list[Row] = []
    for route, run, tenth, parts in routes:
        rows += [
            calls_row(f"{what}, in {route}", run, PROMISE_CALLS),
            Row("… time", f"{run.seconds:.0f} s"),
            memory_row(run, tenth, f"{agreements // 10:,} rows", most=PEAK_GROWTH),
            *cpu_rows(run, tenth, parts.apart, parts.floor, agreements),
        ]
    own, simple = found.upserts.app, found.upserts.simple
    entries = f"{found.pages.counts['prices_written']:,} PricebookEntry rows by Bulk API"
    return [
        *rows,
        Row(
            f"{entries}: time of an upsert of the finished rows, in a process of its own",
            f"{own.seconds:.0f} s",
            f"simple-salesforce: {simple.seconds:.0f} s",
        ),
        Row("… its CPU", f"{own.answer['cpu']:.1f} s", f"{simple.answer['cpu']:.1f} s"),
        Row("… its peak memory", f"{own.peak:.0f} MB", f"{simple.peak:.0f} MB"),
    ]
