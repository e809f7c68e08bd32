"""What a run tells its journal, and when."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

from aioe2e.errors import SkippedError

from .journal import Journal
from .report import Outcome
from .step import Status, Step

__all__ = ["Notes"]


class Notes:
    """Writes each fact into the journal once.

    Args:
        journal: An open journal; `close` closes it.
        stop: Called with the reason when a write could not be noted: then nothing more may be sent.
    """

    def __init__(self, journal: Journal, *, stop: Callable[[str], None]) -> None:
        self._journal = journal
        self._stop = stop
        self._sent: set[tuple[int, int]] = set()

    def before_send(self, step: Step, half: int) -> Callable[[], None]:
        """What a call has to do before it sends a step, or the first or second half of one."""
        return partial(self._note_sent, cast("int", step.index), half)

    def _note_sent(self, index: int, half: int) -> None:
        if (index, half) in self._sent:  # another attempt
            return
        try:
            self._journal.sent(index, half)
        except SkippedError as error:
            self._stop(error.reason)
            raise
        self._sent.add((index, half))

    def half_done(self, step: Step) -> None:
        """The image of a step carries its temporary name."""
        self._journal.half_done(cast("int", step.index))

    def ended(self, outcome: Outcome) -> None:
        """A step has its outcome. One that was not sent needs no line."""
        index = cast("int", outcome.step.index)
        if outcome.status is Status.SKIPPED and (index, 1) not in self._sent:
            return
        self._sent -= {(index, 1), (index, 2)}
        self._journal.ended(
            index,
            outcome.status.value,
            halfway=outcome.halfway,
            passing=outcome.passing,
            refused=outcome.refused,
            error=None if outcome.error is None else type(outcome.error).__name__,
        )

    def close(self) -> None:
        """Nothing more will happen."""
        self._journal.close()
