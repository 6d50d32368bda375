"""The OData actions of `DataManagementDefinitionGroups` (F&O contract 6.1).

A text action answers its plain text as `value`, as recorded clients read it; JSON travels as text inside.
"""

from __future__ import annotations

import functools
import json
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from sandbox.d365.dmf.executions import SUCCEEDED, UNKNOWN, ActionRefused, Execution
from sandbox.d365.errors import action_failed, bad_literal, invocation_failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.d365.dmf.packages import Packages
    from sandbox.d365.messages import Session
    from sandbox.d365.service import Action

ENTITY_SET = "DataManagementDefinitionGroups"
_ENTITY = "DataManagementDefinitionGroup"
_NO_EXECUTION = "00000000-0000-0000-0000-000000000000"
_TYPES = {str: "Edm.String", bool: "Edm.Boolean", int: "Edm.Int32"}

_IMPORT = {
    "packageUrl": str,
    "definitionGroupId": str,
    "executionId": str,
    "execute": bool,
    "overwrite": bool,
    "legalEntityId": str,
}
_EXPORT = {
    "definitionGroupId": str,
    "packageName": str,
    "executionId": str,
    "reExecute": bool,
    "legalEntityId": str,
}
_PREVIEW = {**_EXPORT, "count": int}
_EXECUTION = {"executionId": str}
_FILE = {"executionId": str, "entityName": str}


class PackageActions:
    def __init__(self, packages: Packages) -> None:
        self._packages = packages

    def table(self) -> dict[tuple[str, str], Action]:
        """For `DataService.actions`."""
        actions: list[tuple[str, dict[str, type], Callable[[Session, dict[str, Any]], Any]]] = [
            ("GetAzureWriteUrl", {"uniqueFileName": str}, self._write_url),
            ("ImportFromPackage", _IMPORT, self._import),
            ("ImportFromPackageAsync", _IMPORT, self._import),
            ("GetExecutionSummaryStatus", _EXECUTION, self._status),
            ("GetExecutionSummaryPageUrl", _EXECUTION, self._page),
            ("GetExecutionErrors", _EXECUTION, self._errors),
            ("GenerateImportTargetErrorKeysFile", _FILE, self._make_keys_file),
            ("GetImportTargetErrorKeysFileUrl", _FILE, self._keys_file),
            ("GetImportStagingErrorFileUrl", _FILE, self._staging_file),
            ("ExportToPackage", _EXPORT, self._export),
            ("ExportToPackageAsync", _EXPORT, self._export),
            ("ExportToPackagePreview", _PREVIEW, self._export),
            ("ExportToPackagePreviewAsync", _PREVIEW, self._export),
            ("ExportFromPackage", _IMPORT, self._export_from_package),
            ("GetExportedPackageUrl", _EXECUTION, self._exported),
            ("DeleteExecutionHistoryJob", _EXECUTION, self._delete),
            ("GetMessageStatus", {"messageId": str}, self._message_status),
            ("GetExecutionIdByMessageId", {"_messageId": str}, self._message_execution),
            ("InitializeDataManagement", {}, self._initialize),
        ]
        return {
            (ENTITY_SET, name): functools.partial(self._call, name, types, work)
            for name, types, work in actions
        }

    def _call(
        self,
        name: str,
        types: dict[str, type],
        work: Callable[[Session, dict[str, Any]], Any],
        session: Session,
        given: dict[str, Any],
    ) -> Any:
        for parameter, value in given.items():
            kind = types.get(parameter)
            if kind is None:
                raise invocation_failed(
                    f"The parameter '{parameter}' is no parameter of the operation '{name}'."
                )
            if value is not None and type(value) is not kind:
                raise bad_literal(value, _TYPES[kind])
        complete = {parameter: given.get(parameter) or kind() for parameter, kind in types.items()}
        try:
            return work(session, complete)
        except (ActionRefused, RuntimeError) as error:
            raise action_failed(name, _ENTITY, str(error)) from error

    def _write_url(self, session: Session, given: dict[str, Any]) -> str:
        name = given["uniqueFileName"] or str(uuid.uuid4())
        url = self._packages.framework.storage.url(name, write=True)
        return json.dumps({"BlobId": f"{{{str(uuid.uuid4()).upper()}}}", "BlobUrl": url})

    def _import(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._execution("import", session, given)
        if not given["packageUrl"]:
            raise ActionRefused("The package URL is empty.")
        self._packages.start_import(
            execution, given["packageUrl"], overwrite=given["overwrite"], execute=given["execute"]
        )
        return execution.execution_id

    def _export(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._execution("export", session, given)
        started = self._packages.start_export(
            execution, given["packageName"], again=given["reExecute"], most=given.get("count", 0)
        )
        return started.execution_id

    def _export_from_package(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._execution("export", session, given)
        return self._packages.start_template_export(execution, given["packageUrl"]).execution_id

    def _execution(self, operation: str, session: Session, given: dict[str, Any]) -> Execution:
        project = given["definitionGroupId"]
        company = given["legalEntityId"].lower() or session.company
        if not project:
            raise ActionRefused("The data project is empty.")
        if company not in self._packages.framework.environment.companies:
            raise ActionRefused(f"The legal entity '{given['legalEntityId']}' does not exist.")
        execution_id = given["executionId"] or _new_id(project)
        return Execution(execution_id, operation, project, company, session.client_id)

    def _known(self, given: dict[str, Any]) -> Execution | None:
        return self._packages.executions.get(given["executionId"].lower())

    def _status(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._known(given)
        return execution.status_text() if execution else UNKNOWN

    def _page(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._known(given)
        company = execution.company if execution else session.company
        shown = {"cmp": company, "mi": "DMFExecutionHistoryWorkspace", **given}
        return f"{session.base_url}/?{urlencode(shown)}"

    def _errors(self, session: Session, given: dict[str, Any]) -> str:
        """Empty after a crash and after the history was deleted; a list otherwise."""
        execution = self._known(given)
        if execution is None or execution.trouble or "no-errors" in execution.faults:
            return ""
        return json.dumps([error.to_json() for error in execution.errors])

    def _make_keys_file(self, session: Session, given: dict[str, Any]) -> bool:
        execution = self._known(given)
        return execution is not None and self._packages.make_keys_file(
            execution, given["entityName"]
        )

    def _keys_file(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._known(given)
        run = execution.entity(given["entityName"]) if execution else None
        if execution is None or run is None:
            return ""
        if left := execution.keys_polls.get(run.label, 0):
            execution.keys_polls[run.label] = left - 1
            return ""
        return self._url(run.keys_file)

    def _staging_file(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._known(given)
        run = execution.entity(given["entityName"]) if execution else None
        return self._url(run.staging_file) if run else ""

    def _exported(self, session: Session, given: dict[str, Any]) -> str:
        execution = self._known(given)
        if execution is None or execution.status != SUCCEEDED:
            return ""
        if execution.url_polls > 0:
            execution.url_polls -= 1
            return ""
        return self._url(execution.package)

    def _url(self, name: str) -> str:
        return self._packages.framework.storage.url(name) if name else ""

    def _delete(self, session: Session, given: dict[str, Any]) -> None:
        execution = self._known(given)
        if execution is None:
            raise ActionRefused(f"The execution {given['executionId']} does not exist.")
        if execution.running:
            raise ActionRefused(f"The execution {given['executionId']} is still in progress.")
        del self._packages.executions[given["executionId"].lower()]

    def _message_status(self, session: Session, given: dict[str, Any]) -> str:
        raise ActionRefused(f"There is no message {given['messageId']}: no recurring job exists.")

    def _message_execution(self, session: Session, given: dict[str, Any]) -> str:
        """Nothing was ever scheduled for a message, as there is no recurring job."""
        return _NO_EXECUTION

    def _initialize(self, session: Session, given: dict[str, Any]) -> None:
        """The entity list is always complete here."""


def _new_id(project: str) -> str:
    """An id as F&O makes one (F&O contract 6.1)."""
    moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{project}-{moment}-{uuid.uuid4().hex.upper()}"
