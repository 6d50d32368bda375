"""`/services/oauth2/…` and the identity URL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from sandbox.salesforce.oauth import Authority, OAuthError

if TYPE_CHECKING:
    from starlette.requests import Request

    from sandbox.salesforce.org import Org
    from sandbox.web import Control


def base_url(request: Request) -> str:
    """The URL the client used, without a trailing slash: it is the instance URL as well."""
    return f"{request.url.scheme}://{request.headers.get('host', request.url.netloc)}"


def routes(org: Org, authority: Authority, control: Control) -> list[Route]:
    async def token(request: Request) -> Response:
        control.count("POST oauth2/token")
        form = await _form(request)
        users = {row["Username"]: row for row in org.store.tables["User"].rows.values()}
        authorization = request.headers.get("authorization", "")
        try:
            answer = authority.token(form, authorization, base_url(request), users)
        except OAuthError as error:
            return JSONResponse(error.body, 400)
        return JSONResponse(answer, headers={"cache-control": "no-store"})

    async def revoke(request: Request) -> Response:
        control.count("POST oauth2/revoke")
        form = {**dict(request.query_params), **await _form(request)}
        if authority.revoke(form.get("token", "")):
            return Response(status_code=200)
        return JSONResponse(
            {
                "error": "unsupported_token_type",
                "error_description": "this token type is not supported",
            },
            400,
        )

    async def identity(request: Request) -> Response:
        control.count("GET oauth2/userinfo")
        given = request.headers.get("authorization", "").partition(" ")[2]
        user_id = authority.user_of(given or request.query_params.get("oauth_token", ""))
        if user_id is None:
            return PlainTextResponse("Bad_OAuth_Token", 403)
        return JSONResponse(_identity(org, user_id, base_url(request)))

    return [
        Route("/services/oauth2/token", token, methods=["POST"]),
        Route("/services/oauth2/revoke", revoke, methods=["GET", "POST"]),
        Route("/services/oauth2/userinfo", identity, methods=["GET", "POST"]),
        Route("/id/{org}/{user}", identity, methods=["GET", "POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    # Not request.form(): the body may come chunked and without a length, as jsforce sends it.
    return dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))


def _identity(org: Org, user_id: str, base: str) -> dict[str, Any]:
    row = org.store.tables["User"].rows[user_id]
    url = f"{base}/id/{org.id}/{user_id}"
    rest = f"{base}/services/data/v{{version}}/"
    return {
        "sub": url,
        "id": url,
        "user_id": user_id,
        "organization_id": org.id,
        "preferred_username": row["Username"],
        "username": row["Username"],
        "nickname": row["Alias"],
        "name": row["Name"],
        "display_name": row["Name"],
        "email": row["Email"],
        "active": row["IsActive"],
        "user_type": "STANDARD",
        "language": row["LanguageLocaleKey"],
        "locale": row["LocaleSidKey"],
        "urls": {
            "rest": rest,
            "sobjects": rest + "sobjects/",
            "query": rest + "query/",
            "profile": f"{base}/{user_id}",
        },
    }
