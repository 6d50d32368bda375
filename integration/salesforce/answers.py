"""What a successful answer must hold, for every caller alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from integration.errors import ContractError
from integration.salesforce.errors import Effect, lost_answer, row_error
from integration.salesforce.ids import is_id, to_18

if TYPE_CHECKING:
    from integration.salesforce.transport import Answer


def json_object(answer: Answer, operation: str) -> dict[str, Any]:
    """Raises ContractError where the body is no JSON object."""
    if not isinstance(answer.body, dict):
        raise ContractError(f"{operation}: the answer is no object", system="salesforce")
    return answer.body


def written_id(answer: Answer, operation: str, effect: Effect) -> str:
    """The id of the written row, with 18 characters. Raises the row's error, and as `lost_answer` where the
    answer does not say whether it was written."""
    body = answer.body if isinstance(answer.body, dict) else {}
    if body.get("success") is False:
        raise row_error(body.get("errors"), operation=operation, effect=effect)
    if not is_id(body.get("id")):
        cause = f"HTTP {answer.status} without an id"
        raise lost_answer(cause, operation=operation, effect=effect, sent=True)
    return to_18(body["id"])
