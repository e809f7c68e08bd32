"""The emulated account: its images and nodes, its rules, and what it answers."""

from .answers import Account, answer, pretended
from .past import LONGEST_LAG
from .places import Place, places_of, refuse_strangers
from .records import Record, Records
from .rules import Knob, RuleOptions, Rules
from .seed import Source, made_images, made_nodes, objects_of, spread
from .store import Applied, Store
from .throttle import Throttle
from .wording import opennebula_state

__all__ = [
    "LONGEST_LAG",
    "Account",
    "Applied",
    "Knob",
    "Place",
    "Record",
    "Records",
    "RuleOptions",
    "Rules",
    "Source",
    "Store",
    "Throttle",
    "answer",
    "made_images",
    "made_nodes",
    "objects_of",
    "opennebula_state",
    "places_of",
    "pretended",
    "refuse_strangers",
    "spread",
]
