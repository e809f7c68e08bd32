"""Keeps what a run has to report: all of a plan, and of a stream what did not end well."""

from __future__ import annotations

from .plan import Plan
from .report import Outcome, Report
from .step import Status

__all__ = ["Ledger"]


class Ledger:
    """The outcomes of a run, each written down once, at the moment it is known.

    Args:
        plan: The plan that runs; None for an iterable, of which only the outcomes that are not DONE
            or UNCHANGED are kept, so that memory does not grow with what went well.

    Attributes:
        done: Steps that ended DONE. A plain number, since a stream has millions of these.
    """

    def __init__(self, plan: Plan | None) -> None:
        self._plan = plan
        self._by_index: dict[int | None, Outcome] = {}
        self._kept: list[Outcome] = []
        self._others = dict.fromkeys(Status, 0)
        self.done = 0

    @property
    def finished(self) -> int:
        """Steps that ended, but for those that were skipped."""
        others = self._others
        return self.done + others[Status.UNCHANGED] + others[Status.FAILED] + others[Status.UNKNOWN]

    @property
    def failed(self) -> int:
        """Steps that ended FAILED or UNKNOWN."""
        return self._others[Status.FAILED] + self._others[Status.UNKNOWN]

    def enter(self, outcome: Outcome) -> None:
        """Write an outcome down."""
        if outcome.status is Status.DONE:
            self.done += 1
        else:
            self._others[outcome.status] += 1
        if self._plan is not None:
            self._by_index[outcome.step.index] = outcome
        elif outcome.error is not None:
            self._kept.append(outcome)

    def has(self, index: int | None) -> bool:
        """Whether the step of a plan has its outcome."""
        return index in self._by_index

    def report(self, elapsed: float) -> Report:
        """What is known after so many seconds; of every step of a plan once the run is over."""
        outcomes = self._kept if self._plan is None else self._by_index.values()
        counts = {**self._others, Status.DONE: self.done}
        return Report(outcomes, plan=self._plan, counts=counts, elapsed=elapsed)
