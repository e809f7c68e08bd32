"""What a run is handed: the callable that performs a step, and how to go about it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable

import attrs

from aioe2e._clock import Clock
from aioe2e._record import Trail
from aioe2e.models import ActionResult, SaveAction

from .step import Status, Step

__all__ = ["Perform", "Performed", "RunSettings"]


@attrs.frozen(eq=False, repr=False)
class Performed:
    """What a step came to that was carried out.

    Attributes:
        status: DONE, or UNCHANGED if the server had nothing to do.
        result: What the server said.
    """

    status: Status
    result: SaveAction | ActionResult | None = None


#: Carries out one step, filling the trail as it goes. Raises an `E2EError` if it cannot.
Perform = Callable[[Step, Trail], Awaitable[Performed]]


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RunSettings:
    """How a run is to be carried out; checked by whoever makes one."""

    perform: Perform
    limit: int
    stop_at_failure: bool
    deadline: float | None
    journal: str | os.PathLike[str] | None
    current_limit: Callable[[], int]
    clock: Clock
