"""F&O stand-in: OData, `$batch`, metadata and custom services of one environment, in memory."""

from sandbox.d365.app import D365StandIn
from sandbox.d365.environment import DEFAULT_COMPANIES, Company

__all__ = ["DEFAULT_COMPANIES", "Company", "D365StandIn"]
