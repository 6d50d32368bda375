"""One export: the rows of a company, all or what changed, as a package that leaves in blocks.

Rows never change in place, so a list of them is a snapshot; the text of the file exists a piece at a time
(F&O contract 6.3, 6.7).
"""

from __future__ import annotations

import codecs
import csv
import io
import tempfile
import uuid
import zipfile
from itertools import islice
from typing import TYPE_CHECKING, Any

from sandbox.d365.dmf.executions import Crash, EntityRun, Execution
from sandbox.d365.dmf.imports import read_package
from sandbox.d365.dmf.manifest import HEADER, MANIFEST, write_manifest
from sandbox.d365.dmf.slices import slices
from sandbox.d365.dmf.storage import BlobSink, fetch
from sandbox.d365.model import COMPANY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import IO

    from sandbox.d365.dmf.framework import Framework
    from sandbox.d365.dmf.manifest import ManifestEntity
    from sandbox.d365.dmf.projects import Project
    from sandbox.d365.model import Property
    from sandbox.d365.store import Row

_COMPRESSION = 3  # the first thing a million rows take time for
_ROWS_AT_ONCE = 50


async def read_template(framework: Framework, execution: Execution, url: str) -> Project:
    """The project of an `ExportFromPackage`; raises Crash."""
    with tempfile.TemporaryFile() as file:
        await fetch(url, file)
        try:
            with zipfile.ZipFile(file) as package:
                manifest = read_package(package)
        except zipfile.BadZipFile as error:
            raise Crash(f"the package is damaged: {error}") from error
    framework.projects.import_definition(execution.project, manifest, overwrite=True)
    project = framework.projects.find(execution.project)
    assert project is not None
    return project


async def run_export(
    framework: Framework,
    execution: Execution,
    project: Project,
    package_name: str,
    most: int | None = None,
) -> None:
    """Writes the package and sets `execution.package`; `most` rows per entity. Raises Crash.

    The position of change tracking moves with the last byte, so a run that fails is no gap.
    """
    name = f"{uuid.uuid4()}/{package_name or execution.project}.zip"
    sink = BlobSink(framework.storage.blob(name))
    moved: dict[tuple[str, str], int] = {}
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION) as package:
        for file, body in zip((MANIFEST, HEADER), write_manifest(project.manifest), strict=True):
            package.writestr(file, body)
        for described in project.manifest.entities:
            rows = _rows_of(framework, execution, project, described, moved)
            run = EntityRun(described.label)
            execution.entities.append(run)
            with package.open(described.file, "w") as file:
                work = _write(framework, described, islice(rows, most), file, run)
                async for _ in slices(framework.environment, execution, work):
                    await sink.flush_blocks()
            if execution.canceled.is_set():
                return
    if "crash" in execution.faults:
        raise Crash("crash on demand")
    await sink.finish()
    execution.package = name
    project.positions.update(moved)


def _rows_of(
    framework: Framework,
    execution: Execution,
    project: Project,
    described: ManifestEntity,
    moved: dict[tuple[str, str], int],
) -> Iterator[Row]:
    """The rows of the company as they are now; what is deleted later is still among them."""
    entity = framework.entities[described.label.lower()].entity
    table = framework.environment.store.table(entity)
    place = (entity.storage, execution.company)
    since = project.positions.get(place) if project.changed_only else None
    rows: Iterable[Row]
    if since is None:
        rows = list(table.rows.values())
    else:
        keys = table.changed_since(since)
        rows = [table.rows[key] for key in keys if key in table.rows]
    if project.changed_only:
        table.track()
        moved[place] = table.position
    if not entity.per_company:
        return iter(rows)
    company = execution.company
    return (row for row in rows if row.values[COMPANY].lower() == company)


def _write(
    framework: Framework,
    described: ManifestEntity,
    rows: Iterator[Row],
    file: IO[bytes],
    run: EntityRun,
) -> Iterator[None]:
    entity = framework.entities[described.label.lower()]
    source_format = framework.settings.formats.get(described.source_format)
    if source_format is None:
        raise Crash(f"no source data format {described.source_format!r}")
    unknown = [c.field for c in described.columns if c.field not in entity.fields]
    if unknown:
        raise Crash(f"{entity.label} has no staging field {unknown[0]}")
    properties = [entity.fields[column.field] for column in described.columns]
    columns = {prop.name: (place, _formatter(prop)) for place, prop in enumerate(properties)}
    # Most fields of a row are at their default
    defaults = [
        "" if prop.default is None else _formatter(prop)(prop.default) for prop in properties
    ]
    encoding = source_format.encoding
    marks = {"utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE}
    if framework.settings.byte_order_mark:
        file.write(marks.get(encoding, b""))
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=source_format.delimiter)
    writer.writerow([column.header for column in described.columns])
    while True:
        count = 0
        for row in islice(rows, _ROWS_AT_ONCE):
            count += 1
            cells = defaults.copy()
            for name, value in row.values.items():
                if name in columns:
                    place, form = columns[name]
                    cells[place] = form(value)
            writer.writerow(cells)
        file.write(text.getvalue().encode(encoding, "replace"))
        text.seek(0)
        text.truncate()
        run.rows += count
        if count < _ROWS_AT_ONCE:
            return
        yield


def _formatter(prop: Property) -> Callable[[Any], str]:
    """Cells as F&O's own files hold them; forms of numbers and times are UNVERIFIED."""
    match prop.kind:
        case "decimal":
            return "{:.6f}".format
        case "date":
            return lambda value: f"{value[:10]} 00:00:00"
        case "datetime":
            return lambda value: f"{value[:10]} {value[11:19]}"
        case "boolean":
            return lambda value: str(int(value))
        case "int32" | "int64":
            return str
    return lambda value: value or ""
