"""What a Salesforce record looks like in F&O: field tables, their transforms, and a tenant's own rules.

Pure: values in, values or problems out. The tables are data, so that the documentation, the fields to
read and the comparison are all derived from the same lines (`python -m integration.mapping.document`).
"""
