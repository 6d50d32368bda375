"""The Functions host: one app, its HTTP routes, Service Bus triggers and timers, in one process."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any

from .admin import Admin
from .app_settings import AppSettings, SettingError
from .executor import Executor
from .host_json import HostJson, HostJsonError, read_host_json
from .http_listener import HttpApp, HttpListener, Keys
from .output_bindings import OutputSender
from .routes import RouteError, build_routes
from .service_bus_data import manual_message, many_messages, one_message, properties_of
from .service_bus_listener import Entity, ServiceBusListener
from .timers import Schedule, TimerListener
from .worker import AppLoadError, Function, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from pathlib import Path

    from azure_functions_runtime.bindings.datumdef import Datum

    from .message_pump import Messages

__all__ = ["AppLoadError", "FunctionsHost", "HostJsonError"]

log = logging.getLogger("sandbox.functions")


class FunctionsHost:
    """Hosts the project in this process and event loop; a process can host one project.

    `settings` are the app settings. Keys are generated when not given. `drain_seconds` bounds how
    long `stop` waits for running invocations. `state_directory` keeps the schedule status of timers.
    """

    def __init__(
        self,
        project: Path,
        settings: Mapping[str, str],
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        function_key: str | None = None,
        master_key: str | None = None,
        drain_seconds: float = 30.0,
        state_directory: Path | None = None,
    ) -> None:
        self._project = project
        self._settings = AppSettings(settings)
        self._address = (host, port)
        self.keys = Keys(
            function_key or secrets.token_urlsafe(32), master_key or secrets.token_urlsafe(32)
        )
        self._drain_seconds = drain_seconds
        self._state_directory = state_directory
        self.functions: list[Function] = []
        self.problems: dict[str, str] = {}
        self.base_url = ""
        self._service_bus: dict[str, ServiceBusListener] = {}
        self._timers: dict[str, TimerListener] = {}
        self._by_hand: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        """Loads the app and starts all listeners. Raises AppLoadError, HostJsonError, OSError.

        A function whose settings are incomplete is left out, logged and listed in `problems`; the
        others run, as in the real host.
        """
        self._settings.apply()
        options = read_host_json(self._project, self._settings.overrides())
        worker = Worker.load(self._project)
        self._worker = worker
        self.functions = worker.functions
        self._outputs = OutputSender(self._settings)
        self._executor = Executor(worker, self._outputs.send)
        manual: dict[str, Callable[[str], None]] = {}
        for function in self.functions:
            if self._settings.is_disabled(function.name):
                # Not started, but the admin API can still run it, as in Azure.
                self.problems[function.name] = "disabled"
            try:
                run = self._prepare(function, options)
            except (SettingError, ValueError) as error:
                self.problems[function.name] = str(error)
                log.warning("the function '%s' is in error: %s", function.name, error)
                continue
            if run is not None:
                manual[function.name] = run
        active = [f for f in self.functions if f.name not in self.problems]
        admin = Admin(self.functions, self._executor, manual, self.problems)
        try:
            routes = build_routes(active, options.route_prefix)
        except RouteError as error:
            raise AppLoadError(str(error)) from error
        app = HttpApp(routes, self._executor, self.keys, admin.handle)
        self._http = HttpListener(app, *self._address, self._drain_seconds)
        await self._http.start()
        self.base_url = f"http://{self._address[0]}:{self._http.port}"
        listeners: Mapping[str, ServiceBusListener | TimerListener] = {
            **self._service_bus,
            **self._timers,
        }
        for name, listener in listeners.items():
            if name not in self.problems:
                listener.start()

    async def stop(self) -> bool:
        """Takes no more work, waits for what runs, releases everything. False when it had to cut."""
        ends = time.monotonic() + self._drain_seconds
        for timer in self._timers.values():
            timer.stop_schedule()
        for listener in self._service_bus.values():
            listener.stop_receiving()
        http = asyncio.create_task(self._http.stop())
        left = max(0.1, ends - time.monotonic())
        drained = await asyncio.gather(
            *(listener.stop(left) for listener in self._service_bus.values())
        )
        complete = all(drained)
        try:
            await asyncio.wait_for(self._executor.drained(), max(0.1, ends - time.monotonic()))
        except TimeoutError:
            complete = False
        await http
        for task in self._by_hand:
            task.cancel()
        await asyncio.gather(*self._by_hand, return_exceptions=True)
        for timer in self._timers.values():
            await timer.stop()
        await self._outputs.close()
        self._worker.close()
        return complete

    def _prepare(self, function: Function, options: HostJson) -> Callable[[str], None] | None:
        """Builds the listener of one function; returns how to run it by hand (None for HTTP)."""
        kind = function.trigger_type.lower()
        if kind == "httptrigger":
            return None
        if kind == "timertrigger":
            return self._prepare_timer(function)
        if kind == "servicebustrigger":
            return self._prepare_service_bus(function, options)
        raise SettingError(f"trigger '{function.trigger_type}' is not served by the local host")

    def _prepare_timer(self, function: Function) -> Callable[[str], None]:
        trigger = function.trigger
        schedule = Schedule(self._settings.resolve(str(trigger["schedule"])))

        async def run(datum: Datum) -> None:
            await self._executor.run(function, [(str(trigger["name"]), datum)], {})

        timer = TimerListener(function.name, trigger, schedule, run, self._state_directory)
        self._timers[function.name] = timer
        return lambda _text: self._background(timer.run_by_hand())

    def _prepare_service_bus(self, function: Function, options: HostJson) -> Callable[[str], None]:
        trigger = function.trigger
        binary = str(trigger.get("dataType", "")).upper() == "BINARY"
        many = str(trigger.get("cardinality", "")).upper() == "MANY"
        name = str(trigger["name"])

        async def dispatch(messages: Messages) -> bool:
            if many:
                body, metadata = many_messages(messages, binary=binary)
            else:
                body, metadata = one_message(messages[0], binary=binary)
            properties = properties_of(messages[0])
            trace = str(properties.get("traceparent") or properties.get("Diagnostic-Id") or "")
            result = await self._executor.run(
                function,
                [(name, body)],
                metadata,
                trace_parent=trace,
                trace_state=str(properties.get("tracestate") or ""),
            )
            return result.ok

        def by_hand(text: str) -> None:
            body, metadata = manual_message(text, binary=binary, many=many)
            self._background(self._executor.run(function, [(name, body)], metadata))

        resolved = {
            key: self._settings.resolve(str(trigger[key])) if trigger.get(key) else None
            for key in ("queueName", "topicName", "subscriptionName")
        }
        settled = trigger.get("autoCompleteMessages")
        service_bus = options.service_bus
        if settled is not None:
            service_bus = service_bus.with_auto_complete(str(settled).lower() == "true")
        self._service_bus[function.name] = ServiceBusListener(
            function.name,
            self._settings.connection_string(str(trigger.get("connection") or "")),
            Entity(*resolved.values()),
            service_bus,
            dispatch,
            sessions=str(trigger.get("isSessionsEnabled", "")).lower() == "true",
            batches=many,
        )
        return by_hand

    def _background(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._by_hand.add(task)
        task.add_done_callback(self._by_hand.discard)
