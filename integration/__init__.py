"""Keeps Salesforce and Dynamics 365 Finance & Operations in step."""
