"""The OpenAPI document fits the functions, the answers, and what Salesforce External Services reads."""

import json
import re
import runpy
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import azure.functions as func

from integration.flows.stock_levels import StockAnswer, item_stock
from integration.salesforce.events import RecordsChanged
from integration.triggers.openapi import document, openapi

PROJECT = Path(__file__).parents[2]
DOCUMENT = document("https://app.test")
# An Apex identifier; Salesforce Help, External Services, Naming and Description Conventions.
APEX = re.compile(r"[A-Za-z](?!.*__)[A-Za-z0-9_]{0,38}[A-Za-z0-9]")
SCHEMA_WORDS = {
    "$ref", "type", "format", "description", "properties", "required", "items", "enum", "pattern",
    "minLength", "maxLength", "minItems", "maxItems",
}  # fmt: skip
OWN_ADDRESS = ("get", "/api/openapi.json")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def schemas(node: Any = DOCUMENT) -> Iterator[dict[str, Any]]:
    """Every schema object, wherever it is."""
    if isinstance(node, list):
        for each in node:
            yield from schemas(each)
    elif isinstance(node, dict):
        for name, each in node.items():
            if name == "schema":
                yield from _within(each)
            elif name == "schemas":
                for schema in each.values():
                    yield from _within(schema)
            else:
                yield from schemas(each)


def _within(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    inner = list(schema.get("properties", {}).values())
    for each in [*inner, schema["items"]] if "items" in schema else inner:
        yield from _within(each)


@cache
def http_functions() -> dict[tuple[str, str], str]:
    """(method, path) → auth level of every HTTP function of the app, as the host will serve them."""
    found = {}
    app = runpy.run_path(str(PROJECT / "function_app.py"))[
        "app"
    ]  # it lists its functions once only
    for function in app.get_functions():
        trigger = function.get_trigger().get_dict_repr()
        if trigger["type"] != "httpTrigger":
            continue
        route = "/api/" + trigger["route"]
        optional = re.sub(r"/\{\w+\?\}$", "", route)
        for method in trigger["methods"]:
            for path in {route.replace("?}", "}"), optional}:
                name = str(getattr(method, "value", method)).lower()
                level = trigger["authLevel"]
                found[name, path] = str(getattr(level, "value", level)).lower()
    return found


def test_it_describes_exactly_the_http_functions() -> None:
    described = {(method, path) for method, path, _ in operations()}
    assert described == set(http_functions()) - {OWN_ADDRESS}
    assert OWN_ADDRESS in http_functions()


def test_what_needs_a_key_says_so() -> None:
    levels = http_functions()
    for method, path, operation in operations():
        needs = {"functionKey" in way for way in operation["security"]}
        assert needs == ({True} if levels[method, path] == "function" else set())
        known = DOCUMENT["components"]["securitySchemes"]
        assert all(scheme in known for way in operation["security"] for scheme in way)


def test_every_reference_leads_to_a_schema_and_every_schema_is_used() -> None:
    used = {each["$ref"].rpartition("/")[2] for each in schemas() if "$ref" in each}
    assert used == set(DOCUMENT["components"]["schemas"])


def test_operations_are_complete() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(set(ids)) == len(ids)
    assert all(APEX.fullmatch(each) for each in ids)
    for _, path, operation in operations():
        assert len(operation["summary"]) <= 255
        in_path = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert in_path == set(re.findall(r"\{(\w+)\}", path))
        for parameter in operation.get("parameters", ()):
            assert APEX.fullmatch(parameter["name"])
            assert parameter["required"] == (parameter["in"] == "path")
        good = [status for status in operation["responses"] if status.startswith("2")]
        assert len(good) == 1


def test_schemas_stay_in_the_part_that_external_services_reads() -> None:
    for schema in schemas():
        assert set(schema) <= SCHEMA_WORDS
        assert "$ref" in schema or schema["type"] in (
            "object", "array", "string", "number", "integer", "boolean",
        )  # fmt: skip
        assert all(APEX.fullmatch(name) for name in schema.get("properties", ()))
        assert set(schema.get("required", ())) <= set(schema.get("properties", ()))
    for name in DOCUMENT["components"]["schemas"]:
        assert APEX.fullmatch(name)


def test_bodies_are_json_and_descriptions_short() -> None:
    text = json.dumps(DOCUMENT)
    assert set(re.findall(r'"content": \{"([^"]+)"', text)) == {"application/json"}
    assert max(map(len, re.findall(r'"description": "([^"]*)"', text))) <= 1333
    assert DOCUMENT["openapi"].startswith("3.0.")


def test_the_answer_has_the_members_that_the_schema_promises() -> None:
    product = {"ItemNumber": "D0001", "InventoryUnitSymbol": "ea"}
    answer = StockAnswer(items=[item_stock(product, [], "usmf")]).model_dump()
    known = DOCUMENT["components"]["schemas"]
    assert set(answer) == set(known["StockAnswer"]["required"])
    assert set(answer["items"][0]) == set(known["ItemStock"]["required"])


def test_the_envelope_is_the_webhooks_own() -> None:
    described = DOCUMENT["components"]["schemas"]["RecordsChanged"]
    assert set(described["properties"]) == set(RecordsChanged.model_fields)
    needed = {name for name, field in RecordsChanged.model_fields.items() if field.is_required()}
    assert set(described["required"]) == needed
    assert described["properties"]["orgId"]["type"] == "string"


async def test_it_is_served_with_the_address_of_the_caller_and_needs_no_key() -> None:
    request = func.HttpRequest("GET", "https://x.azurewebsites.net/api/openapi.json", body=b"")
    response = await openapi(request)
    assert response.mimetype == "application/json"
    served = json.loads(response.get_body())
    assert served == document("https://x.azurewebsites.net")
    assert http_functions()[OWN_ADDRESS] == "anonymous"


def test_the_file_in_the_documentation_is_up_to_date() -> None:
    kept = json.loads((PROJECT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert kept == document(kept["servers"][0]["url"])
