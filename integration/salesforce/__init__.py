"""The Salesforce client: sign-in, limits, errors and encoding live here and nowhere else.

`client.SalesforceClient` is the door; `ids` and `soql` are pure helpers for its callers.
"""
