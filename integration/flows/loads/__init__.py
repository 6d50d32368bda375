"""Many records at once, Salesforce → F&O: data packages and Bulk API 2.0 instead of a call per hundred rows.

A load is a job (`job.LoadJob`) for one kind of record, which a `definition.LoadDefinition` describes. It
decides nothing that its flow would decide otherwise: clear rows are compared with a compact index, all
others by the flow itself, and what a person or a second look must settle becomes a hint.
"""
