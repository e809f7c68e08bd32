"""The faults that the emulator can play, and which request meets which."""

from .fault import Fault
from .kind import Answer, Effect, Kind, Scene
from .script import FaultRule, Faults, FaultsLike, Injected
from .table import KINDS

__all__ = [
    "KINDS",
    "Answer",
    "Effect",
    "Fault",
    "FaultRule",
    "Faults",
    "FaultsLike",
    "Injected",
    "Kind",
    "Scene",
]
