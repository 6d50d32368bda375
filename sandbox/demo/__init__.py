"""`make demo`: all flows and reconciliation, driven with generated data through their real triggers.

Every step goes the way of production: a change in Salesforce, its push to the webhook, Service Bus, the
unmodified app, F&O, and back; F&O's events over their queue; timers. At the end both sides are read back and
compared field by field.
"""

from __future__ import annotations

from sandbox.demo.run import run_demo

__all__ = ["run_demo"]
