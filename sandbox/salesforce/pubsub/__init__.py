"""The Pub/Sub API of the Salesforce stand-in (Salesforce contracts 6 and 10.1): change events over gRPC.

`schemas` makes the Avro schema of an object, `bus` keeps what was published, `server` answers the calls,
`rules` says what goes wrong on demand.
"""
