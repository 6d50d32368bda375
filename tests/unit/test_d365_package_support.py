"""What the tests of data packages share: F&O's actions behind httpx.MockTransport, and the storage behind
its URLs as a small HTTP server that the real Blob SDK talks to. Holds no tests."""

from __future__ import annotations

import io
import json
import re
import threading
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import httpx

from integration.d365.package_api import PackageApi
from integration.d365.packages import Column, PackageTable
from integration.settings import VolumeSettings
from tests.unit.state_support import MemoryStore
from tests.unit.test_d365_support import client_for, odata_error, reply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

TABLE = PackageTable(
    "Customers V3",
    (
        Column("CUSTOMERACCOUNT", auto_generated=True),
        Column("ORGANIZATIONNAME"),
        Column("CUSTOMERGROUPID"),
        Column("SALESFORCEACCOUNTID"),
    ),
    ("SALESFORCEACCOUNTID",),
)


def volume(**changes: Any) -> VolumeSettings:
    return VolumeSettings(**changes)


class Documents(MemoryStore):
    """With all that a spool needs."""

    async def delete(self, name: str) -> None:
        self.documents.pop(name, None)

    async def names(self, prefix: str) -> AsyncIterator[str]:
        for name in sorted(name for name in self.documents if name.startswith(prefix)):
            yield name


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 7, 31, 2, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class BlobServer:
    """Blocks, block lists and ranged reads of the Blob REST API; `statuses` are answered first."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.blocks: dict[str, dict[str, bytes]] = {}
        self.calls: list[tuple[str, str, dict[str, str]]] = []
        self.statuses: list[int] = []
        self.url = ""

    def place(self, name: str, body: bytes) -> str:
        """The URL of a file that is there."""
        self.files[f"/account/dmf/{name}"] = body
        return self.address(name)

    def address(self, name: str) -> str:
        return f"{self.url}/account/dmf/{name}?sv=2024-11-04&sp=rwc&sig=very%2Fsecret"

    def written(self) -> bytes:
        """The only file that was written."""
        (body,) = self.files.values()
        return body


@contextmanager
def blob_server() -> Iterator[BlobServer]:
    server = BlobServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("ETag", '"0x1"')
            self.send_header("Last-Modified", "Fri, 31 Jul 2026 02:00:00 GMT")
            if "Content_Length" not in headers:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _refused(self) -> bool:
            server.calls.append((self.command, self.path, dict(self.headers)))
            if server.statuses and (status := server.statuses.pop(0)) >= 300:
                self.close_connection = True
                self._answer(status, Connection="close")
                return True
            return False

        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self._refused():
                return
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            blocks = server.blocks.setdefault(parts.path, {})
            if query.get("comp") == ["block"]:
                blocks[query["blockid"][0]] = body
            elif query.get("comp") == ["blocklist"]:
                names = [node.text or "" for node in ElementTree.fromstring(body)]
                server.files[parts.path] = b"".join(blocks[name] for name in names)
            else:
                self._answer(400)
                return
            self._answer(201)

        def do_HEAD(self) -> None:
            if not self._refused():
                body = server.files.get(urlsplit(self.path).path)
                if body is None:
                    self.close_connection = True
                    self._answer(404, Connection="close")
                else:
                    self._answer(200, Content_Length=str(len(body)), x_ms_blob_type="BlockBlob")

        def do_GET(self) -> None:
            if self._refused():
                return
            body = server.files[urlsplit(self.path).path]
            wanted = self.headers.get("x-ms-range") or self.headers["Range"]
            found = re.fullmatch(r"bytes=(\d+)-(\d+)", wanted)
            assert found
            start, end = int(found[1]), min(int(found[2]), len(body) - 1)
            piece = body[start : end + 1]
            self._answer(206, piece, Content_Range=f"bytes {start}-{end}/{len(body)}")

        def log_message(self, *_: Any) -> None:
            return

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = False
    server.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        thread.join()
        httpd.server_close()


class FakeFinance:
    """F&O's package actions with scripted answers: a list is used up to its last entry, which stays."""

    def __init__(self, blobs: BlobServer) -> None:
        self.blobs = blobs
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.executions: set[str] = set()
        self.imported: list[bytes] = []
        self.answers: dict[str, list[Any]] = {
            "GetExecutionSummaryStatus": ["NotRun", "Executing", "Succeeded"],
            "GetExecutionSummaryPageUrl": ["https://contoso/?mi=DMFExecutionHistory"],
            "GetExecutionErrors": [""],
            "GenerateImportTargetErrorKeysFile": [False],
            "GetImportTargetErrorKeysFileUrl": [""],
            "GetImportStagingErrorFileUrl": [""],
            "GetExportedPackageUrl": [""],
            "GetAzureWriteUrl": [self._write_url],
            "ImportFromPackageAsync": [self._import],
            "ExportToPackageAsync": [self._export],
        }

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        assert path.startswith("/data/DataManagementDefinitionGroups/")
        name = path.rpartition(".")[2]
        body = json.loads(request.content)
        self.calls.append((name, body))
        answers = self.answers[name]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        answer = answer(body) if callable(answer) else answer
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else reply(200, {"value": answer})

    def _write_url(self, body: dict[str, Any]) -> str:
        url = self.blobs.address(body["uniqueFileName"])
        return json.dumps({"BlobId": "{0}", "BlobUrl": url})

    def _import(self, body: dict[str, Any]) -> Any:
        if body["executionId"] in self.executions:
            return collision()
        self.executions.add(body["executionId"])
        self.imported.append(self.blobs.files[urlsplit(body["packageUrl"]).path])
        return body["executionId"]

    def _export(self, body: dict[str, Any]) -> Any:
        if body["executionId"] in self.executions and not body["reExecute"]:
            return collision()
        self.executions.add(body["executionId"])
        return body["executionId"]


def collision() -> httpx.Response:
    return reply(500, odata_error("The execution id was used: history key collision."))


def action_error(text: str) -> httpx.Response:
    """As X++ code behind an action fails (F&O contract 2.8)."""
    return reply(500, odata_error(text, "System.InvalidOperationException"))


@contextmanager
def finance() -> Iterator[tuple[FakeFinance, PackageApi]]:
    with blob_server() as blobs:
        fake = FakeFinance(blobs)
        with client_for(fake) as client:  # type: ignore[arg-type]
            yield fake, PackageApi(client)


def unzip(package: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(package)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}
