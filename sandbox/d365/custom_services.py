"""Custom services under `/api/services` (F&O contract 8): JSON in, the bare return value out.

Only the session probe is built in; other services register in `operations`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sandbox.d365.errors import ODataError, no_route
from sandbox.d365.messages import Reply, Session, error_reply, json_reply

if TYPE_CHECKING:
    from sandbox.d365.environment import Environment

ServiceOperation = Callable[[Session, dict[str, Any]], Any]
Path = tuple[str, str, str]


class CustomServices:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.operations: dict[Path, ServiceOperation] = {
            ("UserSessionService", "AifUserSessionService", "GetUserSessionInfo"): self._session
        }

    def serve(self, method: str, path: str, body: bytes, session: Session) -> Reply:
        parts = tuple(part for part in path.split("/") if part)
        try:
            if method == "GET":
                return json_reply(200, self._describe(parts, session, path))
            operation = self.operations.get(parts) if len(parts) == 3 else None
            if operation is None:
                raise no_route(f"{session.base_url}/api/services/{path}")
            return json_reply(200, operation(session, json.loads(body) if body.strip() else {}))
        except ODataError as error:
            return error_reply(error)
        except (ValueError, KeyError, TypeError) as error:
            failure = {
                "Message": "An error has occurred.",
                "ExceptionMessage": str(error),
                "ExceptionType": "System.ArgumentException",
            }
            return json_reply(500, failure)

    def _describe(self, parts: tuple[str, ...], session: Session, path: str) -> dict[str, Any]:
        known = [key for key in self.operations if key[: len(parts)] == parts]
        if not known or len(parts) > 3:
            raise no_route(f"{session.base_url}/api/services/{path}")
        if len(parts) == 3:
            return {"Parameters": [], "Return": {"Name": "return", "Type": "Object"}}
        member = ("ServiceGroups", "Services", "Operations")[len(parts)]
        names = dict.fromkeys(key[len(parts)] for key in known)
        return {member: [{"Name": name} for name in names]}

    def _session(self, session: Session, _: dict[str, Any]) -> dict[str, Any]:
        company = self._environment.companies[session.company]
        return {
            "$id": "1",
            "AOSLocaleName": "en-US",
            "AXLanguage": company.language.lower(),
            "Company": company.company_id,
            "CompanyTimeZone": 58,
            "CurrencyInfo": {"$id": "2", "CurrencyCode": company.currency},
            "IsSysAdmin": True,
            "UserId": session.user_id,
            "UserPreferredCalendar": 0,
            "UserPreferredTimeZone": 58,
        }
