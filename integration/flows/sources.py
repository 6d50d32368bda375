"""The Salesforce side of a flow: reads its source records, finds out what became of those that are
missing, and writes numbers back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from integration.errors import IntegrationError, RecordNeedsReview
from integration.flows.outcomes import Moved, Skipped
from integration.salesforce.errors import DuplicateRecord
from integration.salesforce.ids import is_id
from integration.salesforce.soql import in_list, select

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from integration.flows.flow import Record
    from integration.salesforce.client import SalesforceClient

DELETED = "deleted-in-salesforce"


async def read_records(
    salesforce: SalesforceClient, object_name: str, keys: list[str], fields: Collection[str]
) -> dict[str, Record | Skipped | Moved | Exception]:
    """The current records by id; a merged one is Moved to its winner. One call, two with missing ids."""
    found: dict[str, Record | Skipped | Moved | Exception] = {}
    found.update(await salesforce.retrieve(object_name, keys, fields))
    missing = [key for key in keys if key not in found]
    if missing:
        try:
            found.update(await _gone(salesforce, object_name, missing))
        except IntegrationError as error:  # those that were read go on
            found.update(dict.fromkeys(missing, error))
    return found


async def available_fields(salesforce: SalesforceClient, object_name: str) -> frozenset[str]:
    """The fields this user sees; some exist only with some feature of the org."""
    described = await salesforce.describe(object_name)
    return frozenset(field["name"] for field in described["fields"])


async def write_number_back(
    salesforce: SalesforceClient, object_name: str, fields: Mapping[str, Record], *, number: str
) -> dict[str, Exception]:
    """Updates records by id, returns the errors. `number` is what the unique number is called.

    A number that another record holds already is for a person to decide.
    """
    rows = [{"Id": key, **values} for key, values in fields.items()]
    results = await salesforce.update_many(object_name, rows)
    errors: dict[str, Exception] = {}
    other = object_name.lower()
    for key, result in zip(fields, results, strict=True):
        if isinstance(result.error, DuplicateRecord):
            errors[key] = RecordNeedsReview(
                f"another {other} already holds this {number}: {result.error.description}",
                reason=f"number-on-other-{other}",
                system="d365",
            )
        elif result.error is not None:
            errors[key] = result.error
    return errors


async def _gone(
    salesforce: SalesforceClient, object_name: str, keys: list[str]
) -> dict[str, Skipped | Moved]:
    """Deleted or merged, on positive evidence only; what no query shows stays "not-found"."""
    gone: dict[str, Skipped | Moved] = {}
    ids = [key for key in keys if is_id(key)]  # Salesforce refuses a query for anything else
    if not ids:
        return gone
    query = select(object_name, ("Id", "IsDeleted", "MasterRecordId"), where=in_list("Id", ids))
    async for row in salesforce.query(query, include_deleted=True):
        if row.get("MasterRecordId"):
            gone[row["Id"]] = Moved(row["MasterRecordId"], row["MasterRecordId"])
        elif row.get("IsDeleted"):
            gone[row["Id"]] = Skipped(DELETED)
    return gone
