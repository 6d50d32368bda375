"""An in-memory Service Bus for the real azure-servicebus SDK: AMQP 1.0, one namespace, queues.

Rules come from the Service Bus contract (`servicebus-amqp`); nothing here survives the process.
"""

from sandbox.servicebus.broker import Broker, PeekedMessage
from sandbox.servicebus.options import QueueError, QueueOptions

__all__ = ["Broker", "PeekedMessage", "QueueError", "QueueOptions"]
