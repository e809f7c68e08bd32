"""One request, sent once over HTTP."""

from .in_flight import InFlight
from .transport import ClientSession, ConnectTimeout, Transport, connect_timeout

__all__ = ["ClientSession", "ConnectTimeout", "InFlight", "Transport", "connect_timeout"]
