"""Runs one step of a job for each message on the queue `jobs`.

No sessions: jobs of different kinds run side by side, and the state blob lets only one step of a job run.
"""

from __future__ import annotations

import azure.functions as func

from integration.errors import ContractError
from integration.messaging.dead_letters import DeadLetter
from integration.messaging.service_bus import JOBS
from integration.triggers.configured import configured_app

bp = func.Blueprint()


@bp.function_name("advance_jobs")
@bp.service_bus_queue_trigger(
    arg_name="message",
    connection="ServiceBus",
    queue_name=JOBS,
    data_type="binary",
    cardinality="one",
)
async def advance_jobs(message: func.ServiceBusMessage) -> None:
    body = message.get_body()
    app = await configured_app()
    if app is None:
        return  # the state of the job is kept; once the settings are right, the next timer arms it again
    try:
        await app.jobs.advance(body)
    except ContractError as error:
        await app.queues.dead_letter(
            DeadLetter(
                kind="undecodable",
                flow="jobs",
                reason=error.reason,
                description=error.description,
                system=error.system,
                body=body,
            )
        )
