"""Turns an import's refused rows into parts of a spool that the caller turns into outcomes.

A part is JSON lines: {"key": {header: value}, "field": "CUSTOMERGROUPID", "message": "…"}. `field` and
`message` may be empty where F&O named the row and no reason.
"""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
import zlib
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from integration.d365.package_blobs import BlobFile, UrlRefused
from integration.d365.package_csv import CsvFile
from integration.d365.package_errors import Refusals
from integration.d365.package_steps import FILE_POLLS, answer_or
from integration.d365.packages import decode_rows
from integration.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from integration.d365.package_api import PackageApi
    from integration.d365.package_errors import Message, Reason, Values
    from integration.d365.packages import PackageTable
    from integration.state.spool import Spool

PART = 1_000_000  # characters
STAGING_POLLS = 3  # for the file of staging, where F&O does not say whether it makes one


@dataclass(frozen=True, slots=True)
class Failures:
    """`unclear`: F&O refused more than could be told."""

    count: int
    unclear: bool
    summary: str


@dataclass(frozen=True, slots=True)
class ErrorFiles:
    """URLs, empty where there is none (yet). `made`: F&O says that it makes the file of the target."""

    made: bool
    target: str
    staging: str

    @property
    def there(self) -> bool:
        return bool(self.target if self.made else self.staging)

    @property
    def polls(self) -> int:
        """How often to look before it is given up."""
        return FILE_POLLS if self.made else STAGING_POLLS

    @property
    def urls(self) -> list[str]:
        return [url for url in (self.target, self.staging) if url]


async def find_error_files(
    api: PackageApi, execution: str, entity: str, made: bool | None
) -> ErrorFiles:
    """`made` is what an earlier look said; None: F&O is told to make the file."""
    if made is None:
        made = await answer_or(api.generate_error_keys(execution, entity), True)
    target = await answer_or(api.error_keys_url(execution, entity), "") if made else ""
    return ErrorFiles(made, target, await answer_or(api.staging_errors_url(execution, entity), ""))


async def write_failures(
    failures: Spool,
    source: Spool,
    table: PackageTable,
    messages: Iterable[Message],
    urls: Iterable[str],
) -> Failures:
    """Reads the error files behind `urls` and the source rows, and writes the refused ones.

    Again is the same. A file that is gone or unreadable leaves the outcome unclear; raises Unreachable.
    """
    refusals = Refusals(table, messages)
    for url in urls:
        try:
            await asyncio.to_thread(_read_file, refusals, url)
        except (ContractError, UrlRefused):
            refusals.unclear = True
    for part in await source.parts():
        body = await source.get(part)
        await asyncio.to_thread(refusals.read_source, decode_rows(body))
    found = refusals.failures()
    await failures.clear()
    for number, text in enumerate(_parts(table, found)):
        await failures.put(number, text.encode())
    return Failures(len(found), refusals.unclear, refusals.summary())


def _read_file(refusals: Refusals, url: str) -> None:
    """A CSV file, or a zip with one."""
    with ExitStack() as stack:
        stream = stack.enter_context(io.BufferedReader(stack.enter_context(BlobFile(url))))
        if not stream.peek(2).startswith(b"PK"):
            refusals.read_file(CsvFile(stream))
            return
        try:
            package = stack.enter_context(zipfile.ZipFile(stream))
            members = [info for info in package.infolist() if not info.is_dir()]
            member = stack.enter_context(package.open(members[0]))
            unpacked = io.BufferedReader(cast("io.RawIOBase", member))
            refusals.read_file(CsvFile(stack.enter_context(unpacked)))
        except (zipfile.BadZipFile, IndexError, NotImplementedError, zlib.error) as error:
            raise ContractError("an error file is a broken zip", system="d365") from error


def _parts(table: PackageTable, found: dict[Values, Reason]) -> Iterator[str]:
    lines: list[str] = []
    size = 0
    for key, reason in found.items():
        named = dict(zip(table.key, key, strict=True))
        entry = {"key": named, "field": reason.field, "message": reason.message}
        line = json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n"
        lines.append(line)
        size += len(line)
        if size >= PART:
            yield "".join(lines)
            lines, size = [], 0
    if lines:
        yield "".join(lines)
