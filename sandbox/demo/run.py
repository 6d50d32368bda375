"""Plays the scenes one after the other, then verifies all of them and prints the result."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from sandbox.demo import tables
from sandbox.demo.accounts import AccountScene
from sandbox.demo.catch_up import CatchUpScene
from sandbox.demo.contacts import ContactScene
from sandbox.demo.customers import CustomerScene
from sandbox.demo.invoices import InvoiceScene
from sandbox.demo.logbook import LogBook
from sandbox.demo.orders import OrderScene
from sandbox.demo.payments import PaymentScene
from sandbox.demo.prices import PriceScene
from sandbox.demo.reconcile import ReconcileScene
from sandbox.demo.stage import Stage
from sandbox.demo.stock import StockScene
from sandbox.demo.volume import VolumeScene
from sandbox.stack import Sandbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.demo.scene import Scene

# Orders sell what the price flow has brought; invoices are of those orders.
SCENES = (
    AccountScene, PriceScene, ContactScene, OrderScene, StockScene, InvoiceScene, PaymentScene,
    CustomerScene, CatchUpScene, ReconcileScene, VolumeScene,
)  # fmt: skip
# Volume begins early here, and nobody waits for long.
_SMALL = {
    "PACKAGE_THRESHOLD": "100",
    "PACKAGE_POLL_SECONDS": "0.2",
    "BULK_THRESHOLD": "500",
    "BULK_POLL_SECONDS": "0.2",
    "BATCH_SECONDS": "6",
}
_MAPPING = Path(__file__).with_name("mapping.toml")


async def run_demo(*, seed: int, verbose: bool, scenes: Sequence[type[Scene]] = SCENES) -> int:
    """Returns the exit code: 0 when every field of every record is right."""
    console = Console(soft_wrap=False, width=120 if not Console().is_terminal else None)
    console.print("Starting Salesforce, F&O, Entra, Service Bus, Blob storage and the app …")
    started = time.monotonic()
    log = LogBook()
    settings = {"MAPPING_FILE": str(_MAPPING), **_SMALL}
    async with Sandbox(settings=settings, echo=verbose, log=log.hear) as sandbox:
        console.print(f"  [green]up[/] [dim]({time.monotonic() - started:.1f} s)[/]")
        stage = Stage(sandbox, log, seed, random.Random(seed))
        played = [kind(stage) for kind in scenes]
        for scene in played:
            await scene.play()
            mark = "[red]broke off[/]" if scene.broken else "[green]done[/]"
            console.print(f"  {mark} {scene.title} [dim]({scene.seconds:.1f} s)[/]")
        for scene in played:
            await scene.verify()
        wrong = [f"{scene.title}: {each}" for scene in played for each in scene.wrong]
        wrong += _wrong_letters(stage)
        _show(console, played, stage)
        if wrong and not verbose:
            console.print("The app's last warnings:")
            for line in log.warnings:
                console.print(f"  {escape(line)}", highlight=False)
    return _verdict(console, played, wrong, time.monotonic() - started)


def _wrong_letters(stage: Stage) -> list[str]:
    """Reconciliation may have tried some of them a second time."""
    got = {
        letter["hint"]["key"]: (letter["kind"], letter["reason"])
        for letter in stage.sandbox.dead_letters()
        if letter["hint"]
    }
    keys = sorted(got.keys() | stage.letters.keys())
    return [
        f"dead letter of {key}: {got.get(key)}, should be {stage.letters.get(key)}"
        for key in keys
        if got.get(key) != stage.letters.get(key)
    ]


def _show(console: Console, scenes: Sequence[Scene], stage: Stage) -> None:
    console.print()
    console.print(tables.flows(scenes))
    console.print(tables.kept(stage.sandbox.dead_letters()))
    for scene in scenes:
        if isinstance(scene, CatchUpScene | VolumeScene) and not scene.broken:
            console.print(f"  {scene.summary()}", highlight=False)
        if isinstance(scene, ReconcileScene):
            tables.report(console, scene.text)
            console.print(f"  {scene.summary()}", highlight=False)


def _verdict(console: Console, scenes: Sequence[Scene], wrong: list[str], took: float) -> int:
    console.print()
    if wrong:
        console.print(f"[red]WRONG[/]: {len(wrong)} differences ({took:.0f} s)")
        for problem in wrong[:50]:
            console.print(f"  {escape(problem)}", highlight=False)
        return 1
    records = sum(scene.tally.records for scene in scenes)
    console.print(
        f"[green]RIGHT[/]: {records} records, every field equal on both sides, nothing lost, nothing"
        f" doubled ({took:.0f} s)"
    )
    return 0
