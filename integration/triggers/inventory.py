"""The stock check: Salesforce asks how much of one or many items there is (flow 5).

GET /api/inventory/{item_number}?company=&site=&warehouse=   one item
GET /api/inventory?items=A,B                                 many; a comma separates
GET /api/inventory?item=A&item=B%2C1                         many; a comma is part of the number

The query is read from the URL itself: the host joins repeated parameters with a comma and drops empty ones
(Functions contract D), after which neither form could be told from the other.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

import azure.functions as func

from integration.errors import (
    ConfigurationError,
    DeadlineReached,
    IntegrationError,
    Throttled,
    Unreachable,
)
from integration.triggers.problem import problem
from integration.wiring import get_app

if TYPE_CHECKING:
    from integration.flows.stock import Place
    from integration.settings import Settings

bp = func.Blueprint()

MOMENT = 5.0  # seconds after which it makes sense to ask again when F&O named none
_LONGEST = 100  # characters of an item number, site or warehouse; F&O's own fields are shorter
_ONCE = ("company", "site", "warehouse")
_REPEATED = ("item", "items")
_OF_THE_HOST = ("code", "clientid")  # the function key may travel in the query
_log = logging.getLogger("integration")


class BadQuestion(Exception):
    """400: the text names the parameter and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Question:
    """`single`: asked by path, so the answer is one item and no list."""

    items: list[str]
    place: Place
    single: bool


@bp.function_name("inventory")
@bp.route(route="inventory/{item_number?}", methods=["GET"], auth_level=func.AuthLevel.FUNCTION)
async def inventory(req: func.HttpRequest) -> func.HttpResponse:
    try:
        app = await get_app()
        question = read_question(req.url, req.route_params.get("item_number") or None, app.settings)
        levels = await app.stock.levels(question.place, question.items)
    except BadQuestion as error:
        return problem(HTTPStatus.BAD_REQUEST, str(error))
    except ConfigurationError as error:
        _log.error("%s", error)
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the app is not configured", retry_after=60)
    except IntegrationError as error:
        return _trouble(error)
    pairs = zip(question.items, levels, strict=True)
    if unknown := [item for item, level in pairs if level is None]:
        names = ", ".join(repr(item) for item in unknown)
        company = question.place.company
        return problem(HTTPStatus.NOT_FOUND, f"not released in company {company}: {names}")
    from integration.d365.values import json_dumps
    from integration.flows.stock_levels import StockAnswer

    found = [level for level in levels if level is not None]
    answer = found[0] if question.single else StockAnswer(items=found)
    return func.HttpResponse(json_dumps(answer.model_dump()), mimetype="application/json")


def read_question(url: str, item_number: str | None, settings: Settings) -> Question:
    """Raises BadQuestion. Each item is asked once, whatever its case; leading blanks are data."""
    from integration.flows.stock import Place
    from integration.flows.stock_levels import same_item

    given: dict[str, list[str]] = {}
    for name, value in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        known = (*_ONCE, *_REPEATED, *_OF_THE_HOST)
        if name.lower() not in known:
            raise BadQuestion(f"{name}: not a parameter; there are {', '.join(known[:5])}")
        given.setdefault(name.lower(), []).append(value)
    asked = [("item", value) for value in given.get("item", ())]
    asked += [("items", part) for value in given.get("items", ()) for part in value.split(",")]
    if item_number is not None:
        if asked:
            raise BadQuestion("item, items: the path names the item already")
        # The host leaves this one escape in a path as it is.
        asked = [("item_number", re.sub("%2f", "/", item_number, flags=re.IGNORECASE))]
    if not asked:
        raise BadQuestion("items: name at least one item number")
    items: dict[str, str] = {}
    for name, value in asked:
        items.setdefault(same_item(_checked(name, value)), value)
    if len(items) > settings.app.stock_max_items:
        raise BadQuestion(f"items: {len(items)} are more than {settings.app.stock_max_items}")
    once = {name: _once(name, given.get(name, [])) for name in _ONCE}
    company = once["company"] or settings.d365.company
    if not re.fullmatch(r"\w{1,4}", company, re.ASCII):
        raise BadQuestion("company: is 1 to 4 letters, digits or _, such as usmf")
    place = Place(company.lower(), once["site"], once["warehouse"])
    return Question(list(items.values()), place, single=item_number is not None)


def _once(name: str, values: list[str]) -> str | None:
    """Empty counts as not given: Flow sends an unset text that way."""
    if len(values) > 1:
        raise BadQuestion(f"{name}: is given {len(values)} times")
    return _checked(name, values[0]).rstrip() if values and values[0].strip() else None


def _checked(name: str, value: str) -> str:
    if not value.strip():
        raise BadQuestion(f"{name}: is empty")
    if len(value) > _LONGEST:
        raise BadQuestion(f"{name}: is longer than {_LONGEST} characters")
    if "*" in value:
        raise BadQuestion(f"{name}: '*' is a wildcard for F&O, so this cannot be looked up")
    return value


def _trouble(error: IntegrationError) -> func.HttpResponse:
    """What the caller may know; the details are in the log."""
    _log.warning("stock check: %s %s", error.reason, error.description)
    busy = HTTPStatus.SERVICE_UNAVAILABLE
    match error:
        case Throttled():
            return problem(busy, "F&O is throttling", retry_after=error.retry_after or MOMENT)
        case Unreachable() | DeadlineReached():
            return problem(busy, "F&O cannot be reached or is too slow", retry_after=MOMENT)
        case _:
            return problem(HTTPStatus.BAD_GATEWAY, f"F&O gave no usable answer ({error.reason})")
