"""All kinds of faults in one table.

To add one: a row in `wire` (connections and bytes), `replies` (status and headers) or `bodies`.
"""

from __future__ import annotations

from collections.abc import Mapping

from .bodies import BODY_KINDS
from .kind import Effect, Kind
from .replies import REPLY_KINDS
from .wire import WIRE_KINDS

__all__ = ["KINDS", "Effect", "Kind"]

#: Every kind of fault by name.
KINDS: Mapping[str, Kind] = {**WIRE_KINDS, **REPLY_KINDS, **BODY_KINDS}
