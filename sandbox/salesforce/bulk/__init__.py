"""Bulk API 2.0 of the Salesforce stand-in: ingest and query jobs (Salesforce contract 3).

`Bulk` keeps the jobs and their files, `endpoints` serves them, `ingest` and `query` run them. Rows pass
the same rules as rows of the REST API; only the reading of the cells is prepared once per job.
"""

from sandbox.salesforce.bulk.service import Bulk

__all__ = ["Bulk"]
