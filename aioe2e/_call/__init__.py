"""One call: attempts until something is certain. It knows the channel, and no resource."""

from .call import Call
from .channel import Channel, ChannelSettings
from .errors import closed_error
from .options import Options
from .retry import Decision, decide
from .slices import in_slices
from .witness import Witness

__all__ = [
    "Call",
    "Channel",
    "ChannelSettings",
    "Decision",
    "Options",
    "Witness",
    "closed_error",
    "decide",
    "in_slices",
]
