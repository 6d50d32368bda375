"""The Azure Functions app: registers the triggers and nothing else."""

import azure.functions as func

from integration.triggers import converge_changes, health, inventory, openapi, salesforce_events

app = func.FunctionApp(http_auth_level=func.AuthLevel.FUNCTION)

for module in (salesforce_events, converge_changes, inventory, openapi, health):
    app.register_functions(module.bp)
