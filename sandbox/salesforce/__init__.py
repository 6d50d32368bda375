"""A stand-in for a Salesforce org: REST API v62, OAuth, outbound messages. Never deployed."""

from sandbox.salesforce.generate import generate_accounts
from sandbox.salesforce.server import SalesforceStandIn

__all__ = ["SalesforceStandIn", "generate_accounts"]
