"""Whether the state container can be used: the only check that writes, and it removes what it wrote."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

from integration.cli.checks.check import Check, Probe, failed, ok, warning

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

AREA = "storage"
_SETTINGS = ("AzureWebJobsStorage", "AzureWebJobsStorage__accountName", "STATE_CONTAINER")
_ROLE = (
    "have the role Storage Blob Data Contributor on the container given to you, or run `az login`"
)
_REACH = (
    "check AzureWebJobsStorage, the network rules of the account, and your sign-in (`az login`)"
)


def probes(container: ContainerClient) -> list[Probe]:
    async def check() -> list[Check]:
        return [await asyncio.to_thread(_try_out, container)]

    return [Probe(AREA, "container", check, settings=_SETTINGS)]


def _try_out(container: ContainerClient) -> Check:
    from azure.core.exceptions import AzureError, HttpResponseError, ResourceNotFoundError

    title, name = "container", container.container_name
    blob = container.get_blob_client(f"doctor/{uuid.uuid4().hex}")
    content = uuid.uuid4().bytes
    try:
        if not container.exists():
            step = "nothing, if the app never ran; otherwise run `azd provision`, or correct STATE_CONTAINER"
            return warning(title, f"there is no container {name} yet", step)
        blob.upload_blob(content)
        try:
            kept = blob.download_blob().readall() == content
        finally:
            blob.delete_blob()
    except ResourceNotFoundError:
        return failed(title, f"{name}: what was written is not there", _REACH)
    except HttpResponseError as error:
        code = getattr(error, "error_code", None) or error.status_code
        step = _ROLE if error.status_code in (401, 403) else _REACH
        return failed(title, f"{name} refuses: {getattr(code, 'value', code)}", step)
    except AzureError as error:
        return failed(title, f"{name} cannot be reached ({type(error).__name__})", _REACH)
    if not kept:
        return failed(title, f"{name}: something else is read than was written", _REACH)
    return ok(title, f"{name}: written, read and removed")
