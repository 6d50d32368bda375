"""GET /api/openapi.json: the app's HTTP surface for Salesforce External Services and for people.

It needs no key: External Services reads it by URL while no credential is set up yet, and it holds nothing
that the published source does not. External Services takes a part of OpenAPI 3.0 only (Salesforce Help,
External Services, Schema Definition Support): other media types than JSON, form and text ask the
administrator for a mapping, response headers are not supported, security is left to the Named Credential,
and names become Apex identifiers. So errors are described in words, and schemas have no unions with null.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import azure.functions as func

if TYPE_CHECKING:
    from pydantic import BaseModel

bp = func.Blueprint()

Json = dict[str, Any]
_REFERENCE = "#/components/schemas/{model}"
_KEY: list[Json] = [{"functionKey": []}]
_PROBLEMS = "; the body is application/problem+json with the member detail"


@bp.function_name("openapi")
@bp.route(route="openapi.json", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def openapi(req: func.HttpRequest) -> func.HttpResponse:
    parts = urlsplit(req.url)
    text = json.dumps(document(f"{parts.scheme}://{parts.netloc}"))
    return func.HttpResponse(text, mimetype="application/json")


def document(server: str) -> Json:
    """The document with the app at `server`, such as https://contoso.azurewebsites.net."""
    from integration.flows.stock_levels import ItemStock, StockAnswer
    from integration.salesforce.events import RecordsChanged

    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Salesforce and Dynamics 365 F&O integration",
            "description": "Stock levels on demand, and the webhook for changed records.",
            "version": "1.0.0",
        },
        "servers": [{"url": server}],
        "paths": {
            "/api/inventory/{item_number}": {"get": _one_item()},
            "/api/inventory": {"get": _many_items()},
            "/api/salesforce/events": {"post": _events()},
            "/api/health": {"get": _health()},
            "/api/health/deep": {"get": _health_deep()},
        },
        "components": {
            "schemas": {**_schemas(StockAnswer, ItemStock, RecordsChanged), **_PLAIN},
            "securitySchemes": _SECURITY,
        },
    }


def _one_item() -> Json:
    number = _parameter("item_number", "The item number; leading blanks are part of it", "path")
    return {
        "operationId": "getItemStock",
        "summary": "Stock of one item, summed over its variants",
        "security": _KEY,
        "parameters": [number, *_PLACE],
        "responses": _responses("ItemStock", 400, 404, 502, 503),
    }


def _many_items() -> Json:
    items = _parameter("items", "Item numbers separated by commas")
    item = _parameter("item", "The same, one number each, for numbers that hold a comma")
    item["schema"] = {"type": "array", "items": {"type": "string"}}
    item |= {"style": "form", "explode": True}
    return {
        "operationId": "getStock",
        "summary": "Stock of several items, in the order asked",
        "security": _KEY,
        "parameters": [items, item, *_PLACE],
        "responses": _responses("StockAnswer", 400, 404, 502, 503),
    }


def _events() -> Json:
    return {
        "operationId": "recordsChanged",
        "summary": "Tells the app that records changed",
        "description": (
            "Takes one event or a list of up to 200. Proven by the secret header or, from Apex, by"
            " timestamp and signature. SOAP Outbound Messages go to the same address as text/xml."
        ),
        "security": [
            {"functionKey": [], "secret": []},
            {"functionKey": [], "timestamp": [], "signature": []},
        ],
        "requestBody": {"required": True, "content": _json("RecordsChanged")},
        "responses": _responses("Accepted", 400, 401, 403, 413, 415, 503, status=202),
    }


def _health() -> Json:
    return {
        "operationId": "getHealth",
        "summary": "Whether the settings are complete and valid",
        "security": [],
        "responses": {
            "200": {"description": "OK", "content": _json("Health")},
            "503": {"description": "Misconfigured", "content": _json("Health")},
        },
    }


def _health_deep() -> Json:
    return {
        "operationId": "getDeepHealth",
        "summary": "Whether Service Bus, storage and both sign-ins answer",
        "security": _KEY,
        "responses": {
            "200": {"description": "OK", "content": _json("DeepHealth")},
            "401": {"description": "No function key, or a wrong one"},
            "503": {"description": "Something does not answer", "content": _json("DeepHealth")},
        },
    }


def _parameter(name: str, description: str, where: Literal["query", "path"] = "query") -> Json:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": description,
        "schema": {"type": "string"},
    }


_PLACE = [
    _parameter("company", "Legal entity; the app's default company when empty"),
    _parameter("site", "Only this site"),
    _parameter("warehouse", "Only this warehouse"),
]
_ERRORS = {
    400: "Bad input, named in the detail",
    401: "No proof of the caller, or a wrong one",
    403: "An organisation that is not allowed",
    404: "Unknown items, named in the detail",
    413: "The body is too large",
    415: "Neither JSON nor SOAP",
    502: "Dynamics 365 gave no usable answer",
    503: "Not possible now; the header Retry-After says in how many seconds",
}
_CHECKS = ("service_bus", "storage", "salesforce", "d365")
_PLAIN: Json = {
    "Accepted": {
        "type": "object",
        "description": "What became of the records of a webhook call",
        "required": ["accepted", "ignored"],
        "properties": {
            "accepted": {"type": "integer", "description": "records that will be synchronised"},
            "ignored": {
                "type": "integer",
                "description": "records of objects that no flow handles",
            },
        },
    },
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": ["ok", "misconfigured"]}},
    },
    "DeepHealth": {
        "type": "object",
        "required": ["status"],
        "properties": {
            "status": {"type": "string", "enum": ["ok", "failing", "misconfigured"]},
            "checks": {
                "type": "object",
                "properties": {
                    name: {"$ref": _REFERENCE.format(model="HealthCheck")} for name in _CHECKS
                },
            },
        },
    },
    "HealthCheck": {
        "type": "object",
        "required": ["ok", "seconds"],
        "properties": {
            "ok": {"type": "boolean"},
            "seconds": {"type": "number"},
            "reason": {"type": "string", "description": "Missing where the check is ok"},
        },
    },
}
_SECURITY: Json = {
    scheme: {"type": "apiKey", "in": "header", "name": name, "description": description}
    for scheme, name, description in (
        ("functionKey", "x-functions-key", "A function key or host key of the app"),
        ("secret", "x-integration-secret", "The static secret, where it is switched on"),
        ("timestamp", "x-integration-timestamp", "Unix seconds"),
        ("signature", "x-integration-signature", "v1= and the HMAC-SHA256 of timestamp.body"),
    )
}


def _json(schema: str) -> Json:
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(model=schema)}}}


def _responses(schema: str, *errors: int, status: int = 200) -> Json:
    good = {"description": "Accepted" if status == 202 else "OK", "content": _json(schema)}
    bad = {str(each): {"description": _ERRORS[each] + _PROBLEMS} for each in errors}
    return {str(status): good, **bad}


def _schemas(*models: type[BaseModel]) -> Json:
    """The models and those inside them, by name."""
    from pydantic.json_schema import models_json_schema

    _, found = models_json_schema(
        [(model, "validation") for model in models], ref_template=_REFERENCE
    )
    return {name: _plain(schema) for name, schema in sorted(found["$defs"].items())}


def _plain(schema: Any) -> Any:
    """JSON Schema as pydantic writes it → the part of OpenAPI 3.0 that External Services reads.

    An optional member is one that may be missing, not one that may be null.
    """
    if isinstance(schema, list):
        return [_plain(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    unused = ("title", "default", "additionalProperties")
    plain = {name: value for name, value in schema.items() if name not in unused}
    if "properties" in plain:
        plain["properties"] = {name: _plain(member) for name, member in plain["properties"].items()}
        return plain
    options = [each for each in plain.pop("anyOf", ()) if each != {"type": "null"}]
    if len(options) == 1:
        plain = {**options[0], **plain}
    elif options:
        raise TypeError("External Services has no unions")
    return {name: _plain(value) for name, value in plain.items()}
