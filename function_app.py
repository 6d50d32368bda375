"""The Azure Functions app: registers the triggers and nothing else."""

import azure.functions as func

from integration.triggers import (
    advance_jobs,
    converge_changes,
    d365_business_events,
    health,
    inventory,
    openapi,
    salesforce_events,
    timers,
)

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for module in (
    salesforce_events,
    d365_business_events,
    converge_changes,
    advance_jobs,
    timers,
    inventory,
    openapi,
    health,
):
    app.register_functions(module.bp)
