"""Tells a probe whether the app can start its work: the settings are complete and valid.

It calls no other system: a probe that fails with Salesforce would restart a healthy app. Details are in the
log, because this route needs no key.
"""

from __future__ import annotations

import json
import logging
from http import HTTPStatus

import azure.functions as func

from integration.errors import ConfigurationError
from integration.wiring import get_app

bp = func.Blueprint()


@bp.function_name("health")
@bp.route(route="health", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
async def health(req: func.HttpRequest) -> func.HttpResponse:
    try:
        await get_app()
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        body, status = {"status": "misconfigured"}, HTTPStatus.SERVICE_UNAVAILABLE
    else:
        body, status = {"status": "ok"}, HTTPStatus.OK
    return func.HttpResponse(json.dumps(body), status_code=status, mimetype="application/json")
