"""The webhook: Salesforce says that records changed; the app keeps hints and answers at once."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING

import azure.functions as func

from integration.errors import ConfigurationError, ContractError, Unreachable
from integration.telemetry import continued, record_events, trace_parent
from integration.triggers.problem import problem
from integration.triggers.tracing import trace_of
from integration.wiring import get_app

if TYPE_CHECKING:
    from integration.salesforce.events import Received
    from integration.wiring import App

bp = func.Blueprint()

_JSON = "application/json"
_SOAP = ("text/xml", "application/xml", "application/soap+xml")


@bp.function_name("salesforce_events")
@bp.route(route="salesforce/events", methods=["POST"], auth_level=func.AuthLevel.FUNCTION)
async def salesforce_events(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    from integration.salesforce import events
    from integration.triggers import proof

    body = req.get_body()
    kind = req.headers.get("content-type", "").partition(";")[0].strip().lower()
    soap = kind in _SOAP
    try:
        app = await get_app()
        settings = app.settings
        if len(body) > settings.webhook.max_bytes:
            limit = f"the body is larger than {settings.webhook.max_bytes} bytes"
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, limit)
        if soap:
            proof.prove_certificate(settings.webhook, req.headers)
            received = events.read_outbound_message(body)
        elif kind == _JSON:
            proof.prove_json(settings.webhook, req.headers, body)
            received = events.read_json(body)
        else:
            return problem(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                f"send {_JSON} or text/xml, not {kind or 'nothing'}",
            )
        proof.check_organisation(settings.salesforce.org_ids, received.org_id, required=soap)
        with continued("accept salesforce events", trace_of(context)):
            accepted, ignored = await _accept(app, received)
    except proof.NotProven as error:
        return problem(HTTPStatus.UNAUTHORIZED, str(error))
    except proof.WrongOrganisation as error:
        return problem(HTTPStatus.FORBIDDEN, str(error))
    except ContractError as error:
        return problem(HTTPStatus.BAD_REQUEST, str(error))
    except Unreachable as error:
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after=30)
    except ConfigurationError as error:
        logging.getLogger("integration").error("%s", error)  # noqa: TRY400 - the list is the message
        return problem(HTTPStatus.SERVICE_UNAVAILABLE, "the app is not configured", retry_after=60)
    if soap:
        return func.HttpResponse(events.ACK, mimetype="text/xml", charset="utf-8")
    answer = json.dumps({"accepted": accepted, "ignored": ignored})
    return func.HttpResponse(answer, status_code=HTTPStatus.ACCEPTED, mimetype=_JSON)


async def _accept(app: App, received: Received) -> tuple[int, int]:
    """Durable when it returns: hints are queued, unusable parts are dead letters. (accepted, ignored)"""
    from integration.messaging.dead_letters import DeadLetter
    from integration.messaging.hints import Hint

    now = datetime.now(UTC)
    wanted = [event for event in received.events if ("salesforce", event.object) in app.objects]
    hints = [
        Hint(
            source="salesforce",
            object=event.object,
            key=event.key,
            root=event.root,
            event_id=event.event_id,
            seen_at=now,
            trace=trace_parent(),
        )
        for event in wanted
    ]
    for part in received.unusable:
        await app.queues.dead_letter(
            DeadLetter(
                kind="undecodable",
                flow="none",
                reason="no-record-id",
                description=part.description,
                system="salesforce",
                body=part.event_id.encode(),
            )
        )
    if hints:
        await app.queues.send_hints(hints)
    ignored = len(received.events) - len(hints)
    record_events("salesforce", "accepted", len(hints))
    record_events("salesforce", "ignored", ignored)
    record_events("salesforce", "unusable", len(received.unusable))
    return len(hints), ignored
