"""Starts `python -m sandbox.functions` as its own process, as the sandbox does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

import httpx

APPS = Path(__file__).parent
REPOSITORY = APPS.parents[2]
KEYS = ["--function-key", "function-key", "--master-key", "master-key"]


class HostProcess:
    """A running host; `stderr` grows while it runs, `client` speaks to it."""

    def __init__(self, project: Path, settings: dict[str, str], *options: str) -> None:
        handle, name = tempfile.mkstemp(suffix=".json")
        os.close(handle)
        self._settings = Path(name)
        self._settings.write_text(json.dumps(settings), encoding="utf-8")
        command = [sys.executable, "-m", "sandbox.functions", "--project", str(project)]
        command += ["--settings", str(self._settings), "--ready-json", *KEYS, *options]
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.stderr: list[str] = []
        self._reader = threading.Thread(target=self._read_stderr)
        self._reader.start()

    def __enter__(self) -> Self:
        line = self.process.stdout.readline()
        if not line:
            self.stop()
            raise AssertionError("the host did not start:\n" + "".join(self.stderr))
        self.ready: dict[str, Any] = json.loads(line)
        self.client = httpx.Client(base_url=self.ready["base_url"], timeout=20)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.stop()

    def stop(self) -> int:
        """SIGTERM and the exit code; safe to call again."""
        self.process.terminate()
        code = self.process.wait(timeout=30)
        self._reader.join()
        self.process.stdout.close()
        self.process.stderr.close()
        self._settings.unlink(missing_ok=True)
        print("".join(self.stderr))  # shown by pytest next to a failed test
        return code

    def kill(self) -> None:
        self.process.kill()
        self.stop()

    def run_by_hand(self, function: str, text: str = "") -> httpx.Response:
        return self.client.post(
            f"/admin/functions/{function}",
            json={"input": text},
            headers={"x-functions-key": "master-key"},
        )

    def status(self) -> dict[str, Any]:
        return self.client.get("/admin/host/status?code=master-key").json()

    def _read_stderr(self) -> None:
        for line in self.process.stderr:
            self.stderr.append(line)
