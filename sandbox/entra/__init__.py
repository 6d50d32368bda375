"""Entra ID stand-in: the token endpoint that azure-identity talks to, over TLS."""

from sandbox.entra.app import EntraStandIn

__all__ = ["EntraStandIn"]
