"""Single rows: `/sobjects/{object}` and below (Salesforce contracts 2.1 and 2.2)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sandbox.salesforce import addresses, clock, ids
from sandbox.salesforce.call import Answer, Call
from sandbox.salesforce.errors import ApiError, SeveralMatches, no_such_column, not_found

if TYPE_CHECKING:
    from sandbox.salesforce.api import Api
    from sandbox.salesforce.org import Org
    from sandbox.salesforce.schema import ObjectType
    from sandbox.salesforce.store import Row


def add_routes(api: Api) -> None:
    api.route("POST sobjects/{object}", create)
    api.route("POST sobjects/{object}/Id", create)  # v37+: insert with Id as the upsert key
    api.route("GET sobjects/{object}/updated", updated)
    api.route("GET sobjects/{object}/deleted", deleted)
    api.route("GET sobjects/{object}/{id}", read)
    api.route("PATCH sobjects/{object}/{id}", update)
    api.route("DELETE sobjects/{object}/{id}", delete)
    api.route("GET sobjects/{object}/{field}/{value}", read_by_key)
    api.route("PATCH sobjects/{object}/{field}/{value}", upsert)
    api.route("DELETE sobjects/{object}/{field}/{value}", delete_by_key)


def attributes(object_name: str, record_id: str, base: str) -> dict[str, str]:
    return {"type": object_name, "url": f"{base}/sobjects/{object_name}/{record_id}"}


def field_value(obj: ObjectType, row: Row, name: str) -> Any:
    prefix = addresses.is_compound(obj, name)
    return row.get(name) if prefix is None else addresses.compound(obj, prefix, row)


def render(obj: ObjectType, row: Row, base: str, names: list[str] | None = None) -> dict[str, Any]:
    """A row as JSON; `names` (any case) limits it to these fields, `Id` included only when asked."""
    fields = list(obj.fields)
    if names is not None:
        fields = []
        for name in names:
            field = obj.find(name)
            if field is None:
                raise no_such_column(name, obj.name)
            fields.append(field.name)
    values = {name: field_value(obj, row, name) for name in fields}
    return {"attributes": attributes(obj.name, row["Id"], base), **values}


def field_names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


def create(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    record_id = api.org.insert(call.actor, obj, call.json_object())
    return _saved(call, obj, record_id, 201)


def read(api: Api, call: Call) -> Answer:
    obj, given = api.org.schema.get(call.segments[1]), call.segments[2]
    full = ids.normalise(given)
    row = api.org.store.tables[obj.name].rows.get(full or "")
    if row is None:
        if full in api.org.store.tables[obj.name].bin:
            raise ApiError.plain("ENTITY_IS_DELETED", "entity is deleted", 404)
        raise not_found()
    return Answer(200, render(obj, row, call.base, field_names(call.query.get("fields"))))


def read_by_key(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    row = _row_by_key(api.org, obj, call)
    return Answer(200, render(obj, row, call.base, field_names(call.query.get("fields"))))


def update(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    api.org.update(call.actor, obj, call.segments[2], call.json_object())
    return Answer(204)


def upsert(api: Api, call: Call) -> Answer:
    """201 created, 200 updated (API 46.0 and later), 300 when the key is ambiguous."""
    obj = api.org.schema.get(call.segments[1])
    record_id, created = api.org.upsert(
        call.actor,
        obj,
        api.org.upsert_field(obj, call.segments[2]),
        call.segments[3],
        call.json_object(),
        update_only=call.query.get("updateOnly", "").lower() == "true",
    )
    return _saved(call, obj, record_id, 201 if created else 200, created=created)


def delete(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    api.org.delete(call.actor, obj, call.segments[2])
    return Answer(204)


def delete_by_key(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    api.org.delete(call.actor, obj, _row_by_key(api.org, obj, call)["Id"])
    return Answer(204)


def updated(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    start, end = _window(call)
    rows = api.org.store.tables[obj.name].rows
    found = [key for key, row in rows.items() if start <= row["SystemModstamp"] < end]
    return Answer(200, {"ids": found, "latestDateCovered": min(end, clock.now())})


def deleted(api: Api, call: Call) -> Answer:
    obj = api.org.schema.get(call.segments[1])
    start, end = _window(call)
    records = [
        {"id": key, "deletedDate": row["SystemModstamp"]}
        for key, row in api.org.store.tables[obj.name].bin.items()
        if start <= row["SystemModstamp"] < end
    ]
    earliest = clock.stamp(datetime.now(UTC) - timedelta(days=30))
    covered = {"earliestDateAvailable": earliest, "latestDateCovered": min(end, clock.now())}
    return Answer(200, {"deletedRecords": records, **covered})


def _window(call: Call) -> tuple[str, str]:
    found = [clock.parse_datetime(call.query.get(name, "")) for name in ("start", "end")]
    if found[0] is None or found[1] is None:
        raise ApiError.plain(
            "INVALID_REPLICATION_DATE", "start and end must be dates with an offset"
        )
    if found[0] >= found[1]:
        raise ApiError.plain(
            "INVALID_REPLICATION_DATE", "startDate must be at least one minute before endDate"
        )
    return found[0], found[1]


def _row_by_key(org: Org, obj: ObjectType, call: Call) -> Row:
    field = org.upsert_field(obj, call.segments[2])
    table = org.store.tables[obj.name]
    value = call.segments[3].strip()
    found = table.ids_with(field, ids.normalise(value) or value if field.name == "Id" else value)
    if len(found) > 1:
        raise SeveralMatches(obj.name, field.name, found)
    if not found:
        raise not_found()
    return table.rows[found[0]]


def _saved(call: Call, obj: ObjectType, record_id: str, status: int, **more: bool) -> Answer:
    body = {"id": record_id, "success": True, "errors": [], **more}
    return Answer(status, body, {"Location": f"{call.base}/sobjects/{obj.name}/{record_id}"})
