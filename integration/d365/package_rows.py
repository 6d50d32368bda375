"""The rows of an exported package, read where it lies: no copy on disk, no whole file in memory.

The zip is read by ranges, unpacked as it comes, and left at a row: a job's step goes on where the one
before stopped, by unpacking again up to there.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
import zlib
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, cast

from integration.d365.package_blobs import BlobFile
from integration.d365.package_csv import CsvFile
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

BATCH = 2000  # rows
_BUFFER = 1_000_000  # bytes


async def package_rows(
    url: str, entity: str, columns: Sequence[str], *, start: int = 0, batch: int = BATCH
) -> AsyncIterator[tuple[int, list[tuple[str, ...]]]]:
    """Batches of rows, each with the position after it: a later `start`. `columns` are headers in capitals.

    Values are text as F&O wrote them; one of a column that the file does not have is "". Raises
    UrlRefused where the URL has expired, Unreachable, and ContractError where the file is no package with
    a CSV file of that entity.
    """
    with ExitStack() as stack:
        rows = await asyncio.to_thread(_open, stack, url, entity, start)
        while found := await asyncio.to_thread(_read, rows, columns, batch):
            yield rows.offset, found


def _open(stack: ExitStack, url: str, entity: str, start: int) -> CsvFile:
    try:
        file = stack.enter_context(BlobFile(url))
        package = stack.enter_context(zipfile.ZipFile(io.BufferedReader(file)))
        member = stack.enter_context(package.open(_member(package, entity)))
        stream = stack.enter_context(io.BufferedReader(cast("io.RawIOBase", member), _BUFFER))
        return CsvFile(stream, start=start)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ContractError(f"no package: {type(error).__name__}", system="d365") from error


def _read(rows: CsvFile, columns: Sequence[str], most: int) -> list[tuple[str, ...]]:
    try:
        return rows.cells(columns, most)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ContractError(f"damaged package: {type(error).__name__}", system="d365") from error


def _member(package: zipfile.ZipFile, entity: str) -> zipfile.ZipInfo:
    """The entity's file, or the only one that is no description of the package."""
    infos = [info for info in package.infolist() if not info.is_dir()]
    files = [info for info in infos if PurePosixPath(info.filename).suffix.lower() != ".xml"]
    named = [info for info in files if PurePosixPath(info.filename).stem.lower() == entity.lower()]
    chosen = named or files
    if len(chosen) != 1:
        raise ContractError(f"no single file of {entity} in the package", system="d365")
    return chosen[0]
