"""One request, sent once over HTTP."""

from .in_flight import InFlight, RequestsInFlight
from .tls import given_context
from .transport import ClientSession, ConnectTimeout, Transport

__all__ = [
    "ClientSession",
    "ConnectTimeout",
    "InFlight",
    "RequestsInFlight",
    "Transport",
    "given_context",
]
