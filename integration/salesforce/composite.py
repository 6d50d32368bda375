"""Several calls in one (Salesforce contract 2.6): one API call of the budget, up to 25 subrequests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from integration.salesforce.encoding import to_json
from integration.salesforce.errors import Effect, answer_error, lost_answer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from integration.errors import IntegrationError
    from integration.salesforce.paths import Paths
    from integration.salesforce.transport import Transport

SUBREQUESTS = 25
QUERIES = 5  # subrequests that are queries or collections

_COSTLY = re.compile(r"/(?:query|queryAll)(?:[/?]|$)|/composite/sobjects")


@dataclass(frozen=True, slots=True)
class SubRequest:
    """`path` starts at the root (`Paths` builds it); `reference` may be used as `@{reference.id}` in the
    bodies and paths of later ones."""

    method: Literal["GET", "POST", "PATCH", "DELETE"]
    path: str
    reference: str
    body: Mapping[str, Any] | None = None

    @property
    def effect(self) -> Effect:
        if self.method == "GET":
            return Effect.READ
        return Effect.ONCE if self.method == "POST" else Effect.REPEATABLE


@dataclass(frozen=True, slots=True)
class SubResult:
    """`error` is set where `status` is 300 or more; `body` is then as Salesforce sent it."""

    reference: str
    status: int
    body: Any
    error: IntegrationError | None = None


async def send_composite(
    transport: Transport, paths: Paths, subrequests: Sequence[SubRequest], *, all_or_none: bool
) -> list[SubResult]:
    """The results in the order of `subrequests`. What failed only because another one failed has reason
    PROCESSING_HALTED or ALL_OR_NONE_OPERATION_ROLLED_BACK.

    Raises ValueError above the limits; an answer that does not fit is as none.
    """
    if not subrequests:
        return []
    _check(subrequests)
    effects = {sub.effect for sub in subrequests}
    effect = next(e for e in (Effect.ONCE, Effect.REPEATABLE, Effect.READ) if e in effects)
    answer = await transport.request(
        "POST",
        paths.composite,
        operation="composite",
        effect=effect,
        content=to_json(
            {
                "allOrNone": all_or_none,
                # The default collates, and then the order is not kept.
                "collateSubrequests": False,
                "compositeRequest": [_entry(sub) for sub in subrequests],
            }
        ),
    )
    try:
        by_reference = {part["referenceId"]: part for part in answer.body["compositeResponse"]}
        return [_result(sub, by_reference[sub.reference]) for sub in subrequests]
    except (KeyError, TypeError, ValueError) as error:
        cause = "an answer that does not fit the request"
        raise lost_answer(cause, operation="composite", effect=effect, sent=True) from error


def _check(subrequests: Sequence[SubRequest]) -> None:
    if len(subrequests) > SUBREQUESTS:
        raise ValueError(
            f"a composite call holds {SUBREQUESTS} subrequests, not {len(subrequests)}"
        )
    costly = sum(1 for sub in subrequests if _COSTLY.search(sub.path))
    if costly > QUERIES:
        raise ValueError(f"a composite call holds {QUERIES} queries or collections, not {costly}")
    if len({sub.reference for sub in subrequests}) < len(subrequests):
        raise ValueError("the references of a composite call must differ")


def _entry(sub: SubRequest) -> dict[str, Any]:
    entry: dict[str, Any] = {"method": sub.method, "url": sub.path, "referenceId": sub.reference}
    return entry if sub.body is None else {**entry, "body": sub.body}


def _result(sub: SubRequest, part: Mapping[str, Any]) -> SubResult:
    status, body = int(part["httpStatusCode"]), part.get("body")
    error = None
    if status >= 300:
        headers = {str(k).lower(): str(v) for k, v in (part.get("httpHeaders") or {}).items()}
        operation = f"composite {sub.method}"
        error = answer_error(status, body, headers, operation=operation, effect=sub.effect)
    return SubResult(sub.reference, status, body, error)
