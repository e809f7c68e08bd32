"""One request, sent once over HTTP."""

from .in_flight import InFlight
from .transport import ConnectTimeout, Transport, connect_timeout

__all__ = ["ConnectTimeout", "InFlight", "Transport", "connect_timeout"]
