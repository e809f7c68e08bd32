"""All kinds of faults in one table.

To add one: a row in `_fault_wire` (connections and bytes), `_fault_replies` (status and headers) or `_fault_bodies`.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._fault_bodies import BODY_KINDS
from ._fault_kind import Effect, Kind
from ._fault_replies import REPLY_KINDS
from ._fault_wire import WIRE_KINDS

__all__ = ["KINDS", "Effect", "Kind"]

#: Every kind of fault by name.
KINDS: Mapping[str, Kind] = {**WIRE_KINDS, **REPLY_KINDS, **BODY_KINDS}
