"""The `/sandbox/…` routes for what people do in F&O: posting, paying, counting stock, events.

POST /sandbox/post-invoice      see `posting.post_invoice`; one request or a list, all or nothing
POST /sandbox/post-payment      see `posting.post_payment`; one or a list
PUT  /sandbox/stock             see `stock.set_stock`; one or a list
POST /sandbox/generate          {"company", "seed", "products": 100, "prices": 3, "stock": true, …},
                                see `generate_trade.generate`; 1,000,000 "agreements" take seconds
GET|PUT /sandbox/business-events  counts; settings, see `event_delivery.EventSettings`
POST /sandbox/business-events   {"event": "CustomThingDoneBusinessEvent", "company", "members": {…}}:
                                emits any business event
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.d365.business_events import business_event, invoice_posted
from sandbox.d365.control import Endpoint, refusing
from sandbox.d365.data_events import SETS as EVENTFUL
from sandbox.d365.generate_trade import generate
from sandbox.d365.lookups import company_of
from sandbox.d365.posting import post_invoice, post_payment
from sandbox.d365.seed import load, upsert
from sandbox.d365.stock import set_stock

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from sandbox.d365.environment import Environment
    from sandbox.d365.event_delivery import EventDelivery

SLICE = 2000  # generated rows written in one go
T = TypeVar("T")


class TradeRoutes:
    def __init__(self, environment: Environment, delivery: EventDelivery) -> None:
        self._environment = environment
        self._delivery = delivery

    def routes(self) -> list[Route]:
        table: list[tuple[str, Endpoint, list[str]]] = [
            ("/sandbox/post-invoice", self._post_invoice, ["POST"]),
            ("/sandbox/post-payment", self._post_payment, ["POST"]),
            ("/sandbox/stock", self._stock, ["PUT"]),
            ("/sandbox/generate", self._generate, ["POST"]),
            ("/sandbox/business-events", self._events, ["GET", "PUT", "POST"]),
        ]
        return [Route(path, refusing(work), methods=methods) for path, work, methods in table]

    async def _post_invoice(self, request: Request) -> Response:
        given = await request.json()
        posted = self._all(given, lambda one: post_invoice(self._environment, one))
        for invoice in posted:  # after the commit, as F&O does (contract 7.1)
            self._delivery.emit(invoice_posted(self._environment, invoice))
        return _answer(given, [invoice.to_json() for invoice in posted])

    async def _post_payment(self, request: Request) -> Response:
        given = await request.json()
        return _answer(given, self._all(given, lambda one: post_payment(self._environment, one)))

    async def _stock(self, request: Request) -> Response:
        given = await request.json()
        return _answer(given, self._all(given, lambda one: set_stock(self._environment, one)))

    async def _generate(self, request: Request) -> Response:
        made = generate(self._environment, await request.json())
        counts: Counter[str] = Counter()
        for set_name, rows in made.items():
            remaining = iter(rows)
            while slice_ := list(islice(remaining, SLICE)):
                self._write(set_name, slice_)
                counts[set_name] += len(slice_)
                await asyncio.sleep(0)  # other requests are served in between
        return JSONResponse(counts)

    def _write(self, set_name: str, rows: list[dict[str, Any]]) -> None:
        if set_name not in EVENTFUL:
            load(self._environment, set_name, rows)
            return
        with self._environment.store.transaction():
            for row in rows:
                upsert(self._environment, set_name, row)

    async def _events(self, request: Request) -> Response:
        if request.method == "PUT":
            self._delivery.configure(await request.json())
        elif request.method == "POST":
            given = await request.json()
            company = company_of(self._environment, given)
            members = given.get("members", {})
            event = business_event(self._environment, str(given["event"]), company, members)
            self._delivery.emit(event)
        return JSONResponse(self._delivery.to_json())

    def _all(self, given: Any, work: Callable[[dict[str, Any]], T]) -> list[T]:
        requests = given if isinstance(given, list) else [given]
        with self._environment.store.transaction():
            return [work(one) for one in requests]


def _answer(given: Any, made: list[Any]) -> Response:
    return JSONResponse(made if isinstance(given, list) else made[0])
