"""One import: a package is fetched, unpacked, staged and written to the target (F&O contract 6.2-6.5).

Whatever is wrong with the package as a whole ends the execution as Failed before the first row, without any
detail for the caller. Rows fail on their own.
"""

from __future__ import annotations

import asyncio
import codecs
import csv
import io
import tempfile
import zipfile
import zlib
from typing import IO, TYPE_CHECKING

from sandbox.d365.dmf.executions import Crash, EntityRun, Execution, RowError
from sandbox.d365.dmf.manifest import HEADER, MANIFEST, read_manifest
from sandbox.d365.dmf.slices import slices
from sandbox.d365.dmf.staging import Staging, Unstaged
from sandbox.d365.dmf.storage import fetch
from sandbox.d365.dmf.target import Refused, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox.d365.dmf.entities import PackageEntity
    from sandbox.d365.dmf.framework import Framework
    from sandbox.d365.dmf.manifest import Manifest, ManifestEntity
    from sandbox.d365.dmf.settings import SourceFormat
    from sandbox.d365.store import Key

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


async def run_import(
    framework: Framework, execution: Execution, url: str, *, overwrite: bool, execute: bool
) -> None:
    """Fills `execution.entities`; raises Crash."""
    with tempfile.TemporaryFile() as file:
        await fetch(url, file)
        try:
            with zipfile.ZipFile(file) as package:
                manifest = _definition(framework, execution, package, overwrite=overwrite)
                for entity in manifest.entities:
                    run = EntityImport(framework, execution, entity, package, execute=execute)
                    await run.run()
                    if execution.canceled.is_set():
                        return
        except (zipfile.BadZipFile, zlib.error, EOFError, csv.Error) as error:
            raise Crash(f"the package is damaged: {error}") from error


def read_package(package: zipfile.ZipFile) -> Manifest:
    """Raises Crash for a zip file that is no data package."""
    try:
        return read_manifest(package.read(MANIFEST), package.read(HEADER))
    except KeyError as error:
        raise Crash(str(error.args[0])) from error


def _definition(
    framework: Framework, execution: Execution, package: zipfile.ZipFile, *, overwrite: bool
) -> Manifest:
    manifest = read_package(package)
    return framework.projects.import_definition(execution.project, manifest, overwrite=overwrite)


class EntityImport:
    def __init__(
        self,
        framework: Framework,
        execution: Execution,
        described: ManifestEntity,
        package: zipfile.ZipFile,
        *,
        execute: bool,
    ) -> None:
        entity = framework.entities.get(described.label.lower())
        source_format = framework.settings.formats.get(described.source_format)
        if entity is None:
            raise Crash(f"no entity {described.label!r}")
        if source_format is None:
            raise Crash(f"no source data format {described.source_format!r}")
        if described.file not in package.namelist():
            raise Crash(f"the package has no file {described.file!r}")
        self._framework = framework
        self._execution = execution
        self._described = described
        self._entity: PackageEntity = entity
        self._format: SourceFormat = source_format
        self._package = package
        self._execute = execute
        self._run = EntityRun(entity.label)
        self._extension = self._extension_fields()
        self._seen: set[Key] = set()

    async def run(self) -> None:
        encoding = await asyncio.to_thread(self._encoding)
        with self._open(encoding) as text:
            rows = csv.reader(text, delimiter=self._format.delimiter)
            header = next(rows, [])
            enums = self._framework.environment.model.enums
            columns = self._described.columns
            staging = Staging(self._entity, header, columns, enums)
            target = Target(
                self._framework.environment,
                self._entity,
                self._execution.company,
                staging.auto_generated,
                always_draw=self._framework.settings.auto_numbers == "all",
            )
            self._execution.entities.append(self._run)
            work = self._rows(rows, staging, target)
            async for _ in slices(self._framework.environment, self._execution, work):
                pass  # nothing to do between the pieces
        if "crash" in self._execution.faults:
            raise Crash("crash on demand")
        await self._write_staging_file(header)

    def _encoding(self) -> str:
        """The file's encoding, after reading all of it once: what cannot be read stops the engine
        before the first row."""
        with self._package.open(self._described.file) as file:
            start = file.read(3)
        encoding = next((name for mark, name in _MARKS if start.startswith(mark)), "")
        encoding = encoding or self._format.encoding
        try:
            with self._open(encoding) as text:
                while text.read(1_000_000):
                    pass
        except UnicodeError as error:
            raise Crash(f"the data file is not {encoding}: {error}") from error
        return encoding

    def _open(self, encoding: str) -> IO[str]:
        file = self._package.open(self._described.file)
        return io.TextIOWrapper(file, encoding=encoding, newline="")

    def _rows(self, rows: Iterator[list[str]], staging: Staging, target: Target) -> Iterator[None]:
        run, fault = self._run, self._execution.faults.get("crash")
        for cells in rows:
            yield
            if not cells:
                continue
            if fault is not None and run.rows >= fault.rows:
                return
            run.rows += 1
            try:
                values, empty = staging.stage(cells)
                key = target.key_of(values)
                if key is not None and key in self._seen:
                    field = self._entity.key[-1].upper()
                    raise Unstaged(field, "The key exists twice in the file.")
            except Unstaged as error:
                run.staging_failed += 1
                run.errors.append(RowError(run.rows, error.field, str(error)))
                run.staging_rows.append(cells)
                continue
            if key is not None:
                self._seen.add(key)
            if not self._execute:
                continue
            try:
                inserted = target.write(values, empty, key)
            except Refused as refused:
                run.target_failed += 1
                run.errors += [RowError(run.rows, *reason) for reason in refused.reasons]
                run.target_keys.append(self._key_cells(values))
            else:
                run.inserted += inserted
                run.updated += not inserted

    def _extension_fields(self) -> tuple[str, ...]:
        if not self._framework.settings.extension_keys:
            return ()
        custom = self._framework.environment.custom_fields.get(self._entity.entity.storage, ())
        mapped = {column.field for column in self._described.columns}
        return tuple(name for name in custom if name.upper() in mapped)

    def _key_cells(self, values: dict[str, object]) -> list[str]:
        if not self._run.target_keys:
            names = (*self._entity.key, *self._extension)
            self._run.target_keys.append([name.upper() for name in names])
        return [str(values.get(name, "")) for name in (*self._entity.key, *self._extension)]

    async def _write_staging_file(self, header: Sequence[str]) -> None:
        if not self._run.staging_rows:
            return
        framework = self._framework
        name = f"{self._execution.execution_id}/{self._entity.label} staging errors.csv"
        body = table_file([list(header), *self._run.staging_rows], framework)
        await framework.storage.write(name, body)
        self._run.staging_file = name


def table_file(rows: list[list[str]], framework: Framework) -> bytes:
    """A CSV file as F&O writes it: UTF-8, with or without a mark."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8-sig" if framework.settings.byte_order_mark else "utf-8")
