"""One call: attempts until something is certain. It knows the channel, and no resource."""

from .attempt import in_slices
from .call import Call
from .channel import Channel, ChannelSettings
from .errors import closed_error
from .options import Options, Witness
from .retry import Decision, decide

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
