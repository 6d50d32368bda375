"""The error answers of F&O (contract 2.8). Clients read the useful text in `innererror`."""

from __future__ import annotations

from typing import Any

WRITE_EXCEPTION = "Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataWriteException"
ODATA_EXCEPTION = "Microsoft.OData.ODataException"
TYPE_PREFIX = "Microsoft.Dynamics.DataEntities."

_STACK = (
    "   at Microsoft.Dynamics.Platform.Integration.Services.OData.Update.UpdateProcessor.Execute()\r\n"
    "   at Microsoft.Dynamics.Platform.Integration.Services.OData.AxODataController.Process()"
)


class ODataError(Exception):
    """An answer with an error body. `body` None means an empty body."""

    def __init__(
        self, status: int, body: Any, message: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message or str(status))
        self.status = status
        self.body = body
        self.headers = headers or {}


def _wrapped(
    status: int, message: str, kind: str, outer: str = "An error has occurred."
) -> ODataError:
    inner = {"message": message, "type": kind, "stacktrace": _STACK}
    return ODataError(
        status, {"error": {"code": "", "message": outer, "innererror": inner}}, message
    )


def write_failed(aot_name: str, infolog: list[str], status: int = 400) -> ODataError:
    """A refusal by X++; `infolog` items carry their own prefix (`Warning: …`)."""
    message = f"Write failed for table row of type '{aot_name}'. Infolog: {'; '.join(infolog)}."
    return _wrapped(status, message, WRITE_EXCEPTION)


def field_refused(aot_name: str, field: str, reason: str) -> ODataError:
    failed = f"Warning: validateField failed on field '{aot_name}.{field}'"
    return write_failed(aot_name, [f"Warning: {reason}", failed])


def update_conflict(aot_name: str, table: str) -> ODataError:
    reason = (
        f"Error: Cannot edit a record in {table}. An update conflict occurred due to another user"
        " process deleting the record or changing one or more fields in the record."
    )
    return write_failed(aot_name, [reason])


def unknown_property(type_name: str, name: str) -> ODataError:
    return invocation_failed(
        f"The property '{name}' does not exist on type '{TYPE_PREFIX}{type_name}'. Make sure to only"
        " use property names that are defined by the type."
    )


def invocation_failed(message: str) -> ODataError:
    """A body the deserializer refuses: the text sits in `internalexception`."""
    error = _wrapped(
        400,
        "Exception has been thrown by the target of an invocation.",
        "System.Reflection.TargetInvocationException",
    )
    internal = {
        "message": message,
        "type": "System.InvalidOperationException",
        "stacktrace": _STACK,
    }
    error.body["error"]["innererror"]["internalexception"] = internal
    return error


def nothing_to_update() -> ODataError:
    message = "No resources were found when selecting for update."
    return _wrapped(400, message, "System.InvalidOperationException")


def several_to_update() -> ODataError:
    message = "More than one resource was found when selecting for update."
    return _wrapped(400, message, "System.InvalidOperationException")


def bad_query(message: str) -> ODataError:
    outer = f"The query specified in the URI is not valid. {message}"
    return _wrapped(400, message, ODATA_EXCEPTION, outer)


def bad_literal(literal: Any, edm_type: str) -> ODataError:
    """The text Microsoft documents for contact persons (contract 5.3)."""
    message = f"Cannot convert the literal '{literal}' to the expected type '{edm_type}'."
    return _wrapped(400, message, ODATA_EXCEPTION)


def bad_request(message: str, status: int = 400) -> ODataError:
    return ODataError(status, {"error": {"code": "", "message": message}}, message)


def stale_etag() -> ODataError:
    message = (
        "The record was changed since it was read: If-Match does not hold its current version."
    )
    return bad_request(message, 412)


def not_found() -> ODataError:
    """A missing key: the recorded clients only know the status, so the body is empty."""
    return ODataError(404, None)


def no_route(url: str) -> ODataError:
    message = (
        f"No HTTP resource was found that matches the request URI '{url}'. No route data was found"
        " for this request."
    )
    return ODataError(404, {"Message": message}, message)


def action_failed(action: str, entity: str, reason: str) -> ODataError:
    message = f"Exception occurred while executing action {action} on Entity {entity}: {reason}"
    return _wrapped(500, message, "System.InvalidOperationException")
