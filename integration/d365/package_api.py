"""F&O's actions for data packages, one method each (F&O contract 6.1).

All raise the errors of the client. None of them waits: an import or an export runs inside F&O and is asked
for by its execution id, which we choose.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.d365.values import json_loads
from integration.errors import (
    CallContext,
    ContractError,
    IntegrationError,
    OutcomeUnknown,
    RecordBusy,
    RecordRejected,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from integration.d365.client import D365Client

ENTITY_SET = "DataManagementDefinitionGroups"
RUNNING = frozenset({"NotRun", "Executing"})
FINAL = frozenset({"Succeeded", "PartiallySucceeded", "Failed", "Canceled"})
UNKNOWN = "Unknown"
_USED = ("history key collision", "already exists", "already used", "already been used")
_PARALLEL = ("parallel", "already running", "another import", "currently running", "in progress")


class ExecutionExists(RecordRejected):
    """F&O has a run of this id already: the call was made before and arrived."""

    reason = "execution-exists"


class ImportRunning(RecordBusy):
    """F&O takes no second import while one runs."""

    reason = "import-running"


class PackageApi:
    def __init__(self, client: D365Client) -> None:
        self._client = client

    async def write_url(self, file_name: str) -> str:
        """Where a package may be stored, with a right that ends soon. `file_name` must be new."""
        answer = await self._text("GetAzureWriteUrl", {"uniqueFileName": file_name}, repeat=True)
        place = json_loads(answer)  # JSON inside a JSON text
        url = place.get("BlobUrl") if isinstance(place, dict) else None
        if not isinstance(url, str) or not url:
            raise _unexpected("GetAzureWriteUrl")
        return url

    async def import_package(
        self, url: str, *, project: str, execution: str, company: str, overwrite: bool = True
    ) -> str:
        """Starts an import and returns its execution id.

        Raises ExecutionExists, ImportRunning, and RecordRejected for a package that F&O refuses at once.
        After OutcomeUnknown the call may be repeated: the id makes it happen once.
        """
        body = {
            "packageUrl": url,
            "definitionGroupId": project,
            "executionId": execution,
            "execute": True,
            "overwrite": overwrite,
            "legalEntityId": company,
        }
        return await self._start("ImportFromPackageAsync", body) or execution

    async def export_package(
        self, *, project: str, package: str, execution: str, company: str, again: bool = False
    ) -> str:
        """Starts an export and returns its execution id. `again` makes the package of an earlier
        execution once more. Raises as `import_package`."""
        body = {
            "definitionGroupId": project,
            "packageName": package,
            "executionId": execution,
            "reExecute": again,
            "legalEntityId": company,
        }
        return await self._start("ExportToPackageAsync", body) or execution

    async def status(self, execution: str) -> str:
        """One of RUNNING, FINAL or UNKNOWN.

        Right after the start F&O may not know the run yet, or answers "Bad request" (F&O contract 6.1):
        both are UNKNOWN.
        """
        try:
            status = await self._about("GetExecutionSummaryStatus", execution)
        except RecordRejected:
            return UNKNOWN
        return status if status in RUNNING | FINAL else UNKNOWN

    async def summary_page(self, execution: str) -> str:
        """The address of the run's page in F&O, for people."""
        return await self._about("GetExecutionSummaryPageUrl", execution)

    async def execution_errors(self, execution: str) -> str:
        """A text that holds a JSON list, or nothing (F&O contract 6.1)."""
        return await self._about("GetExecutionErrors", execution)

    async def generate_error_keys(self, execution: str, entity: str) -> bool:
        """Has the file of refused rows made; False where no row was refused on its way to the target."""
        body = {"executionId": execution, "entityName": entity}
        answer = await self._call("GenerateImportTargetErrorKeysFile", body, repeat=True)
        return answer is True or str(answer).lower() == "true"

    async def error_keys_url(self, execution: str, entity: str) -> str:
        """Empty while the file is being made."""
        body = {"executionId": execution, "entityName": entity}
        return await self._text("GetImportTargetErrorKeysFileUrl", body, repeat=True)

    async def staging_errors_url(self, execution: str, entity: str) -> str:
        """Empty where no row was refused on its way into staging."""
        body = {"executionId": execution, "entityName": entity}
        return await self._text("GetImportStagingErrorFileUrl", body, repeat=True)

    async def exported_url(self, execution: str) -> str:
        """The finished package; may be empty for some time after the run succeeded."""
        return await self._about("GetExportedPackageUrl", execution)

    async def _about(self, action: str, execution: str) -> str:
        return await self._text(action, {"executionId": execution}, repeat=True)

    async def _start(self, action: str, body: Mapping[str, Any]) -> str:
        try:
            return await self._text(action, body, repeat=False)
        except IntegrationError as error:
            raise _refusal(error) or error from error

    async def _text(self, action: str, body: Mapping[str, Any], *, repeat: bool) -> str:
        answer = await self._call(action, body, repeat=repeat)
        if answer is None:
            return ""
        if not isinstance(answer, str):
            raise _unexpected(action)
        return answer.strip()

    async def _call(self, action: str, body: Mapping[str, Any], *, repeat: bool) -> Any:
        return await self._client.action(ENTITY_SET, action, body, safe_to_repeat=repeat)


def _refusal(error: IntegrationError) -> IntegrationError | None:
    """What the words of a refused start mean."""
    if not isinstance(error, RecordRejected | RecordBusy | OutcomeUnknown):
        return None
    text = error.description.lower()
    for texts, kind in ((_USED, ExecutionExists), (_PARALLEL, ImportRunning)):
        if any(part in text for part in texts):
            return kind(error.description, system="d365", context=error.context)
    return None


def _unexpected(action: str) -> ContractError:
    return ContractError(
        f"{action} returned another kind of value than documented",
        system="d365",
        context=CallContext(action),
    )
