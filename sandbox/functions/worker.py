"""Loads one function app through Microsoft's worker package and invokes its functions in-process.

The seam is `azure_functions_runtime.native_invocation` of exactly version 1.3.0 (Functions contract
B1): the same indexing, decoding, execution and encoding code that runs in Azure, without gRPC. Its
registry is global to the module, so a process can hold one app.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
import traceback
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from azure_functions_runtime import handle_event
from azure_functions_runtime.bindings.datumdef import Datum
from azure_functions_runtime.http_v2 import HttpV2Registry
from azure_functions_runtime.native_invocation import invocation_request_native
from azure_functions_runtime.otel import otel_manager, update_opentelemetry_status
from azure_functions_runtime.utils import threadpool
from azure_functions_runtime.utils.app_setting_manager import is_envvar_true

if TYPE_CHECKING:
    from pathlib import Path

Inputs = list[tuple[str, Datum | None]]
Metadata = Mapping[str, Datum]


class AppLoadError(Exception):
    """The app could not be indexed; the text carries the worker's or the app's own error."""


class _Record(SimpleNamespace):
    """Stands for a protobuf message: keeps the keyword arguments it was built with."""


class _BindingInfo(_Record):
    undefined, string, binary, stream = 0, 1, 2, 3
    out, inout = 1, 2


@dataclass(frozen=True)
class Function:
    """An indexed function; `bindings` are the worker's raw bindings as dictionaries."""

    id: str
    name: str
    script_file: str
    bindings: tuple[dict[str, Any], ...]

    @property
    def trigger(self) -> dict[str, Any]:
        return next(b for b in self.bindings if str(b["type"]).lower().endswith("trigger"))

    @property
    def trigger_type(self) -> str:
        return str(self.trigger["type"])

    def output(self, name: str) -> dict[str, Any]:
        """The output binding with this name (`$return` included)."""
        return next(b for b in self.bindings if b["name"] == name)


@dataclass(frozen=True)
class Invocation:
    """The outcome of one call. `error` is the exception's repr, `traceback` the whole chain."""

    id: str
    ok: bool
    return_value: Datum | None = None
    outputs: list[tuple[str, Datum]] = field(default_factory=list)
    error: str | None = None
    traceback: str | None = None


class Worker:
    """The functions of the loaded app and the way to call them."""

    def __init__(self, functions: list[Function]) -> None:
        self.functions = functions

    @classmethod
    def load(cls, project: Path) -> Worker:
        """Imports and indexes `<project>/function_app.py`. Raises AppLoadError."""
        directory = str(project.resolve())
        if directory not in sys.path:
            sys.path.insert(0, directory)
        handle_event.protos = SimpleNamespace(
            BindingInfo=_BindingInfo, RpcFunctionMetadata=_Record, RpcRetryOptions=_Record
        )
        handle_event.load_binding_registry()
        threadpool.start_threadpool_executor()
        if is_envvar_true("PYTHON_ENABLE_OPENTELEMETRY"):
            otel_manager.set_otel_libs_available(True)
            update_opentelemetry_status()
        try:
            handle_event.load_function_metadata(directory, caller_info="local host")
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            raise AppLoadError(f"{type(error).__name__}: {error}\n{text}") from error
        records = handle_event._metadata_result
        if records is None:
            script = os.environ.get("PYTHON_SCRIPT_FILE_NAME", "function_app.py")
            raise AppLoadError(f"no {script} in the project folder")
        if HttpV2Registry.http_v2_enabled():
            raise AppLoadError("HTTP streaming (FastAPI extension) is not served by the local host")
        return cls([_function(record) for record in records])

    async def invoke(
        self,
        function: Function,
        inputs: Inputs,
        metadata: Metadata,
        *,
        invocation_id: str | None = None,
        trace_parent: str = "",
        trace_state: str = "",
    ) -> Invocation:
        """Runs one function in the calling task; a failure is in the result, never raised."""
        call = invocation_id or str(uuid.uuid4())
        try:
            ok, returned, outputs, error, trace = await invocation_request_native(
                call, function.id, inputs, metadata, trace_parent, trace_state
            )
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # The function itself let a CancelledError out: that is its failure, not ours.
            return Invocation(
                call, ok=False, error=repr(cancelled), traceback=traceback.format_exc()
            )
        return Invocation(call, ok, returned, outputs, error, trace)

    def close(self) -> None:
        """Lets the thread pool of the sync functions go without waiting for them."""
        executor = threadpool.get_threadpool_executor()
        if executor is not None:
            executor.shutdown(wait=False, cancel_futures=True)


class DropWorkerTraceback(logging.Filter):
    """Hides the worker's own traceback record; the host logs one line for a failed invocation.

    `PYTHON_ENABLE_DEBUG_LOGGING=1` shows the tracebacks.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        hidden = record.msg == "Native invocation failed"
        return not hidden or is_envvar_true("PYTHON_ENABLE_DEBUG_LOGGING")


def _function(record: Any) -> Function:
    bindings = tuple(json.loads(raw) for raw in record.raw_bindings)
    return Function(record.function_id, record.name, record.script_file, bindings)
