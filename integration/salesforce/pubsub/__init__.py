"""The Pub/Sub API (gRPC): the change events that Salesforce keeps for 72 hours (Salesforce contract 6).

Only the catch-up imports this package: grpcio, protobuf and fastavro are no part of a cold start. `stream`
follows a channel for a while, `events` says what an event means, `errors` what a refusal does.
`pubsub_api_pb2` is written from `pubsub_api.proto` by `make proto`.
"""
