"""Collections: up to 200 rows in one call (Salesforce contract 2.7).

The answer is a 200 with one result per row in request order, whatever became of the rows. With
allOrNone one bad row undoes all. Faults marked `inner` hit single rows: their path is
`sobjects/{object}[/{field}]/{id or key}`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import ids, values
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError, SeveralMatches, no_such_column
from sandbox.salesforce.rows import field_names, render

if TYPE_CHECKING:
    from sandbox.salesforce.api import Api
    from sandbox.salesforce.schema import Field, ObjectType
    from sandbox.web import Fault

MOST_ROWS = 200
MOST_READS = 2000
MOST_CHUNKS = 10
ROLLED_BACK = {
    "statusCode": "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    "message": "Record rolled back because not all records were valid and the request was using "
    "AllOrNone header",
    "fields": [],
}
Operation = Callable[[], dict[str, Any]]


def add_routes(api: Api) -> None:
    api.route("POST composite/sobjects", insert)
    api.route("PATCH composite/sobjects", update)
    api.route("DELETE composite/sobjects", delete)
    api.route("PATCH composite/sobjects/{object}/{field}", upsert)
    api.route("POST composite/sobjects/{object}", read)
    api.route("GET composite/sobjects/{object}", read)


def insert(api: Api, call: Call) -> Answer:
    records = _records(call)

    def one(record: dict[str, Any]) -> dict[str, Any]:
        obj = _type_of(api, record)
        _raise_fault(api.inner_fault(call, "POST", f"sobjects/{obj.name}"))
        return _success(api.org.insert(call.actor, obj, record))

    return _run(api, call, [partial(one, record) for record in records])


def update(api: Api, call: Call) -> Answer:
    records = _records(call)

    def one(record: dict[str, Any]) -> dict[str, Any]:
        obj = _type_of(api, record)
        record_id = next((v for k, v in record.items() if k.lower() == "id"), None)
        if not record_id:
            raise ApiError.of("MISSING_ARGUMENT", "Id not specified in an update call")
        _raise_fault(api.inner_fault(call, "PATCH", f"sobjects/{obj.name}/{record_id}"))
        body = {k: v for k, v in record.items() if k.lower() != "id"}
        return _success(api.org.update(call.actor, obj, str(record_id), body))

    return _run(api, call, [partial(one, record) for record in records])


def upsert(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[2])
    field = api.org.upsert_field(obj, call.segments[3])
    records = _records(call)
    keys = [_key(record, field) for record in records]
    comparable = [_comparable(field, key) for key in keys]
    often = {key for key, count in Counter(comparable).items() if count > 1 and key is not None}

    def one(record: dict[str, Any], key: Any, compared: Any) -> dict[str, Any]:
        if _type_of(api, record) is not obj:
            raise ApiError.of("INVALID_TYPE", f"The record is not of type {obj.name}")
        if key is None and field.name != "Id":
            raise ApiError.of("MISSING_ARGUMENT", f"{field.name} not specified", field.name)
        if compared in often:
            raise ApiError.of("DUPLICATE_VALUE", f"Duplicate external id specified: {key}")
        path = f"sobjects/{obj.name}/{field.name}/{key}"
        _raise_fault(api.inner_fault(call, "PATCH", path))
        body = {k: v for k, v in record.items() if k.lower() != field.name.lower()}
        if key is None:
            return {**_success(api.org.insert(call.actor, obj, body)), "created": True}
        record_id, created = api.org.upsert(call.actor, obj, field, key, body)
        return {**_success(record_id), "created": created}

    rows = zip(records, keys, comparable, strict=True)
    return _run(api, call, [partial(one, *row) for row in rows])


def delete(api: Api, call: Call) -> Answer:
    given = field_names(call.query.get("ids")) or []
    _limit(len(given), MOST_ROWS)

    def one(record_id: str) -> dict[str, Any]:
        full = ids.normalise(record_id)
        obj = api.org.schema.of_id(full) if full else None
        if obj is None:
            raise ApiError.of("MALFORMED_ID", f"malformed id {record_id}")
        _raise_fault(api.inner_fault(call, "DELETE", f"sobjects/{obj.name}/{record_id}"))
        return _success(api.org.delete(call.actor, obj, record_id))

    return _run(api, call, [partial(one, record_id) for record_id in given])


def read(api: Api, call: Call) -> Answer:
    """An array in the order of the ids, null where there is no such live row."""
    obj = api.org.schema.get(call.segments[2])
    if call.method == "POST":
        body = call.json_object()
        wanted, names = body.get("ids"), body.get("fields")
    else:
        wanted, names = field_names(call.query.get("ids")), field_names(call.query.get("fields"))
    if not isinstance(wanted, list) or not isinstance(names, list) or not names:
        raise ApiError.plain("MISSING_ARGUMENT", "ids and fields must be specified")
    _limit(len(wanted), MOST_READS)
    for name in names:
        if obj.find(str(name)) is None:
            raise no_such_column(str(name), obj.name)
    rows = api.org.store.tables[obj.name].rows
    found = [rows.get(ids.normalise(record_id) or "") for record_id in wanted]
    return Answer(200, [render(obj, row, call.base, names) if row else None for row in found])


def _run(api: Api, call: Call, operations: list[Operation]) -> Answer:
    """Runs the rows one by one; with allOrNone a failure undoes and marks the good ones."""
    flag = call.query.get("allOrNone") or (call.body or {}).get("allOrNone", False)
    all_or_none = call.force_all_or_none or str(flag).lower() == "true"
    mark = api.org.mark()
    results: list[dict[str, Any]] = []
    for operation in operations:
        inner = api.org.mark()
        try:
            results.append(operation())
        except ApiError as error:
            api.org.rollback(inner)
            results.append(_failure(error))
        except SeveralMatches as several:
            text = f"{several.field_name}: more than one record found for external id field: ["
            text += ", ".join(several.ids) + "]"
            results.append(_failure(ApiError.of("DUPLICATE_EXTERNAL_ID", text)))
    if all_or_none and not all(result["success"] for result in results):
        api.org.rollback(mark)
        results = [
            {"success": False, "errors": [dict(ROLLED_BACK)]} if result["success"] else result
            for result in results
        ]
    return Answer(200, results)


def _records(call: Call) -> list[dict[str, Any]]:
    records = call.json_object().get("records")
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise ApiError.plain("JSON_PARSER_ERROR", "records must be an array of objects")
    _limit(len(records), MOST_ROWS)
    types = [(r.get("attributes") or {}).get("type") for r in records]
    if sum(1 for _ in groupby(types)) > MOST_CHUNKS:
        raise ApiError.plain(
            "INVALID_INPUT", f"Cannot process more than {MOST_CHUNKS} chunks of types in one call"
        )
    return records


def _limit(count: int, most: int) -> None:
    if count > most:
        raise ApiError.plain(
            "EXCEEDED_ID_LIMIT",
            f"record limit reached. cannot submit more than {most} records in this call",
        )


def _type_of(api: Api, record: dict[str, Any]) -> ObjectType:
    return api.org.schema.typed((record.get("attributes") or {}).get("type"))


def _key(record: dict[str, Any], field: Field) -> Any:
    key = next((v for k, v in record.items() if k.lower() == field.name.lower()), None)
    return None if isinstance(key, str) and not key.strip() else key


def _comparable(field: Field, key: Any) -> Any:
    if key is None:
        return None
    text = values.key_text(field, key)
    return text if field.cased or field.name == "Id" else str(text).lower()


def _raise_fault(fault: Fault | None) -> None:
    if fault is not None:
        raise fault_error(fault)


def fault_error(fault: Fault) -> ApiError:
    """A fault's body in either error shape; without one, the row is locked."""
    body = fault.body if isinstance(fault.body, dict) else (fault.body or [{}])[0]
    code = body.get("statusCode") or body.get("errorCode") or "UNABLE_TO_LOCK_ROW"
    text = body.get("message", "unable to obtain exclusive access to this record or 1 records")
    return ApiError.of(code, text, *body.get("fields", []), status=fault.status or 400)


def _success(record_id: str) -> dict[str, Any]:
    return {"id": record_id, "success": True, "errors": []}


def _failure(error: ApiError) -> dict[str, Any]:
    return {"success": False, "errors": error.row_errors()}
