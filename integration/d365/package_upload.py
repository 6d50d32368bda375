"""Brings a package from the spool to the storage of F&O, in pieces that fit a job's step.

A piece is compressed and sent as a block of the file; what was sent stays sent, and the position remembers
how far the file is. Memory holds one part of the spool and its compressed form, whatever the size of the
package.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.d365 import package_zip
from integration.d365.package_blobs import commit_blocks, stage_block
from integration.d365.package_manifest import describe
from integration.d365.package_zip import ZipState
from integration.deadline import remaining
from integration.state.spool import Spool

if TYPE_CHECKING:
    from integration.d365.package_api import PackageApi
    from integration.d365.packages import PackageTable, Position
    from integration.settings import VolumeSettings
    from integration.state.spool import PartStore

BLOCK = 4_000_000  # bytes of rows, before they are compressed
_NEEDS = 5.0  # seconds that a further piece may take


@dataclass(frozen=True, slots=True)
class Uploaded:
    """`url` is empty until the whole file is there; then `position` is of no more use."""

    position: Position
    url: str = ""
    rows: int = 0


class PackageUpload:
    def __init__(
        self, api: PackageApi, store: PartStore, settings: VolumeSettings, *, block: int = BLOCK
    ) -> None:
        self._api = api
        self._store = store
        self._settings = settings
        self._block = block

    async def advance(
        self, position: Position, rows: str, table: PackageTable, *, project: str, execution: str
    ) -> Uploaded:
        """Sends pieces while there is time; an empty position begins with a new URL.

        Raises UrlRefused where the URL has expired: begin anew. ConfigurationError for a template that
        does not fit, ContractError where the spool changed, Unreachable.
        """
        encoding = self._settings.package_encoding
        if position:
            url, part, blocks = position["url"], position["part"], position["blocks"]
            count, state = position["rows"], ZipState.from_json(position["zip"])
            ready = b""
        else:
            description = await asyncio.to_thread(describe, table, project, self._settings)
            url = await self._api.write_url(f"{execution}-{secrets.token_hex(4)}.zip")
            part, blocks, count = -1, 0, 0
            ready, state = package_zip.begin(description, table.file_name, encoding)
        spool = Spool(self._store, rows)
        waiting = b""
        for number in await spool.parts():
            if number <= part:
                continue
            body = await spool.get(number)
            count += count_rows(body)
            waiting += body
            part = number
            if len(waiting) < self._block:
                continue
            packed, state = await asyncio.to_thread(self._pack, state, waiting)
            await stage_block(url, blocks, ready + packed)
            blocks, ready, waiting = blocks + 1, b"", b""
            left = remaining()
            if left is not None and left < _NEEDS:
                return Uploaded(_position(url, part, blocks, count, state))
        if waiting:
            packed, state = await asyncio.to_thread(self._pack, state, waiting)
            ready += packed
        await stage_block(url, blocks, ready + package_zip.finish(state))
        await commit_blocks(url, blocks + 1)
        return Uploaded({}, url, count)

    def _pack(self, state: ZipState, rows: bytes) -> tuple[bytes, ZipState]:
        encoding = self._settings.package_encoding
        return package_zip.append(state, package_zip.recode(rows, encoding))


def count_rows(part: bytes) -> int:
    """Line ends outside quotes; a doubled quote opens and closes, so it does not count."""
    if b'"' not in part:
        return part.count(b"\n")
    return sum(text.count(b"\n") for text in part.split(b'"')[::2])


def _position(url: str, part: int, blocks: int, rows: int, state: ZipState) -> Position:
    return {"url": url, "part": part, "blocks": blocks, "rows": rows, "zip": state.to_json()}
