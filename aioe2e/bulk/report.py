"""How a run ended: an outcome for each step, and the questions that can be asked of them."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Self, cast, overload

import attrs

from aioe2e._check import quoted
from aioe2e._plain import (
    Reader,
    Unfit,
    checked_fields,
    error_as_json,
    error_of_json,
    mapping,
    number,
    one_of,
    optional,
    sequence,
    whole,
    yes_or_no,
)
from aioe2e._text import counted, shorten, table
from aioe2e.errors import (
    APIError,
    E2EError,
    OutcomeUnknownError,
    SessionError,
    SkippedError,
    UsageError,
    is_passing,
)
from aioe2e.models import Action, ActionResult, SaveAction

from . import journal_reader
from .endings import FirstHalf, of_second_half, skipped
from .plan import Plan, remaining_plan
from .step import Status, Step, StepRecord, index_of

__all__ = ["BulkError", "Outcome", "Report", "ReportBuilder"]

#: Failures that a report and its error show; the report itself has all of them.
SHOWN: Final = 50
SHOWN_IN_ERROR: Final = 3

#: The worst first: this is how failures are listed.
_LOUDEST: Final = (Status.UNKNOWN, Status.FAILED, Status.SKIPPED)
_OK: Final = frozenset({Status.DONE, Status.UNCHANGED})

#: The version of what `Report.to_dict` writes.
VERSION: Final = 1

#: How the fields of a stored outcome are read.
_STORED: Final[Mapping[str, Reader]] = {
    "step": Step.from_dict,
    "status": one_of({status.value: status for status in Status}),
    "attempts": whole,
    "elapsed": number,
    "halfway": yes_or_no,
    "result": mapping,
    "error": error_of_json,
}


def _comparable(error: E2EError | None) -> str:
    """Two errors are equal when they say the same."""
    return "" if error is None else json.dumps(error_as_json(error), sort_keys=True)


@attrs.frozen
class Outcome:
    """How one step ended."""

    #: The step.
    step: Step
    #: How it ended.
    status: Status
    #: The result of a step that is DONE: a `SaveAction` for a save, else an `ActionResult`.
    result: SaveAction | ActionResult | None = None
    #: Why it is not DONE or UNCHANGED; None if it is.
    error: E2EError | None = attrs.field(default=None, eq=_comparable)
    #: The number of requests that were sent for it.
    attempts: int = 0
    #: Seconds from its first request to its end.
    elapsed: float = 0.0
    #: Whether the image is stuck at its temporary name (`Step.via`).
    halfway: bool = False

    @property
    def ok(self) -> bool:
        """Whether the step is DONE or UNCHANGED."""
        return self.status in _OK

    @property
    def passing(self) -> bool:
        """Whether the same request may succeed later: the error is transient, or nothing was sent.

        It is also true if the session was closed before a throttled request was sent again.
        """
        return isinstance(self.error, SkippedError | SessionError) or is_passing(self.error)

    @property
    def refused(self) -> bool:
        """Whether an UNKNOWN step was refused for good when it was sent once more.

        The listing did not confirm the change either.
        """
        error = self.error
        if not isinstance(error, OutcomeUnknownError) or not error.looked:
            return False
        return isinstance(error.last, APIError) and not is_passing(error.last)

    @property
    def record(self) -> StepRecord:
        """The part of the outcome that decides what a later run has to do."""
        return StepRecord(
            self.status,
            self.passing,
            self.halfway,
            sent_at=self.step.sent_at,
            refused=self.refused and self.step.open,
        )

    @property
    def http(self) -> int | None:
        """The HTTP status of the error; None if there was none."""
        error = self.error
        if isinstance(error, OutcomeUnknownError):
            error = error.last
        return error.status if isinstance(error, APIError) else None

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome as ``json.dumps`` takes it."""
        found: dict[str, Any] = {
            "step": self.step.to_dict(),
            "status": self.status.value,
            "attempts": self.attempts,
            "elapsed": self.elapsed,
        }
        if self.halfway:
            found["halfway"] = True
        if self.result is not None:
            found["result"] = self.result.to_dict()
        if self.error is not None:
            found["error"] = error_as_json(self.error)
        return found

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild an outcome from the result of `to_dict`. It is equal to the original.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is not a stored outcome, or it is damaged.
        """
        fields = checked_fields("a stored outcome", data, _STORED, required=("step", "status"))
        step: Step = fields["step"]
        result = fields.pop("result", None)
        if result is not None:
            kind = SaveAction if step.action is Action.SAVE else ActionResult
            fields["result"] = kind.from_dict(result)
        return cls(**fields)

    @classmethod
    def of_record(cls, step: Step, record: StepRecord) -> Self:
        """The outcome of a step of which a journal has the record: its errors have no text."""
        result: SaveAction | ActionResult | None = None
        if record.status is Status.UNKNOWN:
            step = attrs.evolve(step, sent_at=record.sent_at)
        if record.status is Status.DONE:
            result = ActionResult()
            if step.action is Action.SAVE:
                result = record.save or SaveAction(node_id=step.target, name=str(step.name))
        return cls(
            step,
            record.status,
            result,
            None if record.settled else _error_of_record(step, record),
            record.attempts,
            record.elapsed,
            record.halfway and not record.settled,
        )


def _error_of_record(step: Step, record: StepRecord) -> E2EError:
    """Why a step is not done, as far as a journal says it."""
    if record.status is Status.UNKNOWN:
        last: APIError | None = None
        if record.refused:
            last = APIError("it was refused", status=record.http or 400)
        return OutcomeUnknownError(
            "by its journal it was sent, and may have been carried out",
            action=step.action.value,
            target=step.target,
            attempts=record.attempts,
            last=last,
            looked=record.refused,
            subject=str(step),
        )
    if record.status is Status.SKIPPED or record.error in (None, "SkippedError"):
        return SkippedError("the run ended before its turn came")
    said = "" if record.http is None else f" (HTTP {record.http})"
    stored: dict[str, Any] = {
        "type": record.error,
        "message": f"{step}: by its journal it failed with {record.error}{said}",
        "attempts": record.attempts,
    }
    if record.http is not None:
        stored |= {"status": record.http, "passing": record.passing}
    return error_of_json(stored)


class _PlanOutcomes:
    """The outcomes of all steps of a plan.

    Those of the steps that a run did not come to are made when they are asked for: a run of many
    thousand steps whose deadline is over has no time for them.

    Args:
        steps: All steps of the plan.
        ended: The outcomes of those that ended, by index.
        reason: Why the others did not.
        halves: Those of the others of which the first half is done, by index.
        over_at: Loop time at which the run was over.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        ended: Mapping[int | None, Outcome],
        reason: str,
        halves: Mapping[int | None, FirstHalf],
        over_at: float,
    ) -> None:
        self._steps = steps
        self._ended = ended
        self._reason = reason
        self._halves = halves
        self._over_at = over_at

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Outcome]:
        for step in self._steps:
            ended = self._ended.get(step.index)
            yield self._outcome(step) if ended is None else ended

    def of_the_others(self) -> Iterator[Outcome]:
        """The outcomes of the steps that did not end."""
        return (self._outcome(step) for step in self._steps if step.index not in self._ended)

    def _outcome(self, step: Step) -> Outcome:
        ending = skipped(self._reason)
        half = self._halves.get(step.index)
        if half is None:
            return Outcome(step, ending.status, error=ending.error)
        ending = of_second_half(step, ending, half.attempts)
        return Outcome(
            step,
            ending.status,
            error=ending.error,
            attempts=ending.attempts,
            elapsed=self._over_at - half.began,
            halfway=True,
        )


def _in_order(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...]:
    """By index. A step without one (run by itself) keeps its place at the end."""

    def place(outcome: Outcome) -> tuple[bool, int]:
        index = outcome.step.index
        return index is None, index or 0

    return tuple(sorted(outcomes, key=place))


def _as_given(outcomes: Iterable[Outcome]) -> tuple[Outcome, ...] | _PlanOutcomes:
    return outcomes if isinstance(outcomes, _PlanOutcomes) else _in_order(outcomes)


@attrs.frozen(slots=False, repr=False, eq=False)
class Report(Sequence[Outcome]):
    """The outcomes of a run, in the order of the plan.

    A report is a sequence of `Outcome`. The report of a plan has one for each step. The report of a
    stream has only those that are not DONE or UNCHANGED; `counts` counts all. ``str(report)`` shows
    the counts and the failures, the worst first.

    Args:
        outcomes: The outcomes, in any order.
        plan: The plan that was run; None for a stream.
        counts: The number of steps with each status, if ``outcomes`` does not have all steps.
        elapsed: Seconds that the run took.
        retry_after: Seconds after which the server accepts requests again, if its request budget
            was used up when the run ended; else None.
    """

    _given: tuple[Outcome, ...] | _PlanOutcomes = attrs.field(converter=_as_given, alias="outcomes")
    #: The plan that was run; None for a stream.
    plan: Plan | None = attrs.field(kw_only=True)
    _counts: Mapping[Status, int] | None = attrs.field(default=None, alias="counts", kw_only=True)
    #: Seconds that the run took.
    elapsed: float = attrs.field(default=0.0, kw_only=True)
    #: Seconds after which the server accepts requests again, if its request budget was used up when
    #: the run ended; else None.
    retry_after: float | None = attrs.field(default=None, kw_only=True)

    @cached_property
    def outcomes(self) -> tuple[Outcome, ...]:
        """The outcomes, in the order of the plan."""
        return self._given if isinstance(self._given, tuple) else _in_order(self._given)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return NotImplemented
        return self._compared() == other._compared()

    def __hash__(self) -> int:
        return hash((self.outcomes, self.plan))

    def _compared(self) -> tuple[object, ...]:
        return self.outcomes, self.plan, self.counts()

    def __reduce__(self) -> tuple[Any, ...]:
        return _report, (self.outcomes, self.plan, self._counts, self.elapsed, self.retry_after)

    @overload
    def __getitem__(self, place: int) -> Outcome: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Outcome, ...]: ...
    def __getitem__(self, place: int | slice) -> Outcome | tuple[Outcome, ...]:
        return self.outcomes[place]

    def __len__(self) -> int:
        return len(self._given)

    def __iter__(self) -> Iterator[Outcome]:
        return iter(self.outcomes)

    @property
    def ok(self) -> bool:
        """Whether every step is DONE or UNCHANGED."""
        return not self._not_ok()

    def _not_ok(self) -> int:
        return sum(number for status, number in self.counts().items() if status not in _OK)

    def counts(self) -> dict[Status, int]:
        """Return the number of steps with each status. Every status is a key."""
        known = self._counts
        if known is None:
            known = Counter(outcome.status for outcome in self.outcomes)
        return {status: known.get(status, 0) for status in Status}

    def where(self, *statuses: Status) -> tuple[Outcome, ...]:
        """Return the outcomes with one of these statuses, in the order of the plan.

        Args:
            statuses: One or more statuses.
        """
        return tuple(outcome for outcome in self.outcomes if outcome.status in statuses)

    def raise_for_errors(self) -> None:
        """Raise an error unless every step is DONE or UNCHANGED.

        Raises:
            BulkError: Some steps are FAILED, UNKNOWN or SKIPPED. It is an `ExceptionGroup` of their
                errors, so ``except*`` sorts them; `BulkError.report` is this report.
        """
        loud = self._loudest_first()
        if not loud:
            return
        shown = "; ".join(
            f"step {bad.step.index} ({bad.step}): {_reason(bad)}" for bad in loud[:SHOWN_IN_ERROR]
        )
        more = ""
        if len(loud) > SHOWN_IN_ERROR:
            more = f"; and {len(loud) - SHOWN_IN_ERROR} more"
        raise BulkError(
            f"{self._headline()}: {shown}{more}", [_error(outcome) for outcome in loud], self
        )

    def remaining(self) -> Plan:
        """Return a plan of the steps that are worth running again.

        It has the steps that were never sent, those that FAILED with a transient error, and the
        renames and deletes that are UNKNOWN. It leaves out steps that were refused for good and the
        steps after them; its `Plan.warnings` name those, and every image that carries a temporary
        name. Saves that are UNKNOWN are in its `Plan.unknown` and are never sent again.
        """
        plan = self.plan
        if plan is None:
            plan = Plan([outcome.step for outcome in self.outcomes])
        return remaining_plan(
            plan, {index_of(outcome.step): outcome.record for outcome in self.outcomes}
        )

    def settle(self, settled: Iterable[Outcome]) -> Report:
        """Return a report in which some outcomes are replaced by newer ones of the same steps.

        Args:
            settled: The newer outcomes. In the report of a stream, those that are DONE are counted
                and left out.
        """
        by_index = {outcome.step.index: outcome for outcome in settled}
        merged = [by_index.get(outcome.step.index, outcome) for outcome in self.outcomes]
        counts = Counter(self.counts())
        counts.subtract(outcome.status for outcome in self.outcomes)
        counts.update(outcome.status for outcome in merged)
        if self.plan is None:
            merged = [outcome for outcome in merged if not outcome.ok]
        return Report(
            merged,
            plan=self.plan,
            counts=counts,
            elapsed=self.elapsed,
            retry_after=self.retry_after,
        )

    def saved(self) -> list[SaveAction]:
        """Return the `SaveAction` of each save that is DONE, for `Images.wait_saved`.

        Raises:
            UsageError: It is the report of a stream, which does not keep successful outcomes.
        """
        if self.plan is None and self.counts()[Status.DONE]:
            raise UsageError(
                "the report of a stream does not keep the steps that are DONE:"
                " take their results from the stream"
            )
        results = (outcome.result for outcome in self.where(Status.DONE))
        return [result for result in results if isinstance(result, SaveAction)]

    def merged(self, earlier: Report) -> Report:
        """Return this report of a resumed run, combined with the report of the run before it.

        The result has every step of the earlier plan, as the last run left it. A step that an
        earlier run left UNKNOWN stays so until a later run settles it: if it was then SKIPPED, it
        may still have been carried out.

        Args:
            earlier: The report of the run before, which may be the result of `merged` itself. If
                that run was killed, use `from_journal`.

        Raises:
            UsageError: The reports belong to different plans, or one is the report of a stream.
        """
        if not isinstance(cast("object", earlier), Report):
            raise UsageError(f"earlier: a Report is needed, not {quoted(earlier)}")
        if self.plan is None or earlier.plan is None:
            raise UsageError("only reports of plans can be merged, not those of streams")
        if self.plan.digest != earlier.plan.digest:
            raise UsageError("the earlier report is that of another plan")
        later = {outcome.step.index: outcome for outcome in self}
        return Report(
            (_merged(outcome, later.get(outcome.step.index)) for outcome in earlier),
            plan=earlier.plan,
            elapsed=earlier.elapsed + self.elapsed,
            retry_after=self.retry_after,
        )

    @classmethod
    def from_journal(cls, path: str | os.PathLike[str]) -> Self:
        """Return the report of all runs of a plan that kept one journal.

        It has the latest outcome of every step. Results do not have the server's messages, and
        errors have their class and HTTP status only. A save that is DONE has what
        `Images.wait_saved` needs. The file is only read, so a run may still be writing it.

        Args:
            path: The file of the journal.

        Raises:
            UsageError: The file cannot be read, is not a journal, or is damaged before its last
                line.
        """
        stored, records = journal_reader.read(path)
        plan = attrs.evolve(Plan.from_dict(stored), journal=os.fspath(path))
        never_sent = StepRecord(Status.SKIPPED)
        outcomes = [
            Outcome.of_record(step, records.get(index_of(step), never_sent))
            for step in (*plan.unknown, *plan)
        ]
        return cls(outcomes, plan=plan, elapsed=sum(outcome.elapsed for outcome in outcomes))

    def to_dict(self) -> dict[str, Any]:
        """Return the report as ``json.dumps`` takes it."""
        return {
            "version": VERSION,
            "ok": self.ok,
            "counts": {status.value: number for status, number in self.counts().items()},
            "elapsed": self.elapsed,
            "retry_after": self.retry_after,
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "plan": None if self.plan is None else self.plan.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a report from the result of `to_dict`. It is equal to the original.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: It is not a stored report, it has another version, or it is damaged.
        """
        stored = isinstance(cast("object", data), Mapping)
        if not stored or data.get("version") != VERSION:
            raise UsageError(
                f"this is no report that Report.to_dict wrote in version {VERSION}: {quoted(data)}"
            )
        fields = checked_fields(
            "a stored report",
            data,
            _STORED_REPORT,
            required=("counts", "elapsed", "outcomes", "plan"),
            ignored=("version", "ok"),
        )
        return cls(**fields)

    def __repr__(self) -> str:
        said = ", ".join(f"{status} {number}" for status, number in self.counts().items() if number)
        return f"<Report: {'ok' if self.ok else 'NOT OK'}: {said or 'no steps'}>"

    def __str__(self) -> str:
        """Counts in a line; below it whatever did not end well, the worst first."""
        loud = self._loudest_first()
        if not loud:
            return self._headline()
        header = ("step", "status", "what", "attempts", "why")
        rows = (
            (bad.step.index, bad.status.upper(), bad.step, bad.attempts, _reason(bad))
            for bad in loud[:SHOWN]
        )
        lines = [self._headline(), *table(header, rows)]
        if len(loud) > SHOWN:
            lines.append(f"… and {len(loud) - SHOWN} more")
        return "\n".join(lines)

    def _loudest_first(self) -> list[Outcome]:
        if self.ok:
            return []
        return [outcome for status in _LOUDEST for outcome in self.where(status)]

    def _headline(self) -> str:
        counts = self.counts()
        total = counted(sum(counts.values()), "step")
        said = ", ".join(f"{number} {status}" for status, number in counts.items() if number)
        if not said:
            return "no steps"
        if self.ok:
            return f"{total}: {said}"
        return f"{self._not_ok()} of {total} did not end well ({said})"


class BulkError(E2EError, ExceptionGroup[E2EError]):
    """Some steps of a run did not succeed.

    It is an `ExceptionGroup`, so ``except*`` sorts its errors by class.

    Attributes:
        report: The report of the whole run, even on the parts that ``except*`` splits off.
        attempts: The number of requests that were sent for the failed steps.
    """

    report: Report | None = None

    def __new__(
        cls,
        message: str,
        errors: Sequence[E2EError],
        report: Report | None = None,  # noqa: ARG004  # for __init__
    ) -> Self:
        """Make the group; an `ExceptionGroup` takes its parts here and not in ``__init__``."""
        return super().__new__(cls, message, errors)

    def __init__(
        self,
        message: str,  # noqa: ARG002  # for __new__
        errors: Sequence[E2EError],
        report: Report | None = None,
    ) -> None:
        self.attempts: int = sum(error.attempts for error in errors)
        self.report = report

    def derive(self, excs: Sequence[E2EError]) -> BulkError:  # type: ignore[override]  # narrower
        """A group of some of the errors, as ``except*`` and ``split`` make it."""
        return BulkError(self.message, excs, self.report)

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            type(self),
            (self.message, list(self.exceptions), self.report),
            {"__notes__": getattr(self, "__notes__", [])},
        )


class ReportBuilder:
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
        self._all: _PlanOutcomes | None = None
        self._kept: list[Outcome] = []
        self._others = dict.fromkeys(Status, 0)
        self.done: int = 0

    @property
    def finished(self) -> int:
        """Steps that ended, without those that were skipped."""
        others = self._others
        return self.done + others[Status.UNCHANGED] + self.failed

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

    def counts(self) -> dict[Status, int]:
        """How many steps have each status."""
        return {**self._others, Status.DONE: self.done}

    def promised(self) -> list[Outcome]:
        """The outcomes of the steps of a plan that went well."""
        return [outcome for outcome in self._by_index.values() if outcome.ok]

    def revise(self, outcome: Outcome) -> None:
        """Write down what is known better of a step of a plan."""
        index = outcome.step.index
        if self._by_index[index].status is Status.DONE:
            self.done -= 1
        else:
            self._others[self._by_index[index].status] -= 1
        self.enter(outcome)

    def close(
        self, reason: str, halves: Mapping[int | None, FirstHalf], over_at: float
    ) -> Iterator[Outcome]:
        """Take the steps of the plan that have no outcome for ended, too.

        Args:
            reason: Why they did not end.
            halves: Those among them of which the first half is done, by index.
            over_at: Loop time of now.

        Returns:
            Their outcomes.
        """
        if self._plan is None:
            return iter(())
        steps = (*self._plan.unknown, *self._plan)
        self._all = _PlanOutcomes(steps, self._by_index, reason, dict(halves), over_at)
        self._others[Status.FAILED] += len(halves)
        self._others[Status.SKIPPED] += len(steps) - len(self._by_index) - len(halves)
        return self._all.of_the_others()

    def report(self, elapsed: float, retry_after: float | None = None) -> Report:
        """What is known after so many seconds; of every step of a plan once the run is over."""
        outcomes: Iterable[Outcome] = self._kept
        if self._all is not None:
            outcomes = self._all
        elif self._plan is not None:
            outcomes = self._by_index.values()
        return Report(
            outcomes,
            plan=self._plan,
            counts=self.counts(),
            elapsed=elapsed,
            retry_after=retry_after,
        )


def _merged(before: Outcome, now: Outcome | None) -> Outcome:
    """How a step stands after two runs; None if the second one did not have it."""
    if now is None:
        return before
    attempts, elapsed = before.attempts + now.attempts, before.elapsed + now.elapsed
    now = attrs.evolve(now, step=before.step, attempts=attempts, elapsed=elapsed)
    if now.ok:
        return now
    now = attrs.evolve(now, halfway=before.halfway or now.halfway)
    if before.record.stays_open(now.record):
        return attrs.evolve(before, attempts=attempts, elapsed=elapsed)
    return now


def _counts_of_json(stored: Any) -> dict[Status, int]:
    words = {status.value: status for status in Status}
    counts = mapping(stored)
    if counts.keys() != words.keys():
        raise Unfit(f"a number for each of {', '.join(words)}")
    return {words[word]: whole(found) for word, found in counts.items()}


#: How the fields of a stored report are read.
_STORED_REPORT: Final[Mapping[str, Reader]] = {
    "counts": _counts_of_json,
    "elapsed": number,
    "retry_after": optional(number),
    "outcomes": sequence(Outcome.from_dict),
    "plan": optional(Plan.from_dict),
}


def _report(
    outcomes: Iterable[Outcome],
    plan: Plan | None,
    counts: Mapping[Status, int] | None,
    elapsed: float,
    retry_after: float | None,
) -> Report:
    """Make a report anew from what `Report.__reduce__` wrote."""
    return Report(outcomes, plan=plan, counts=counts, elapsed=elapsed, retry_after=retry_after)


def _error(outcome: Outcome) -> E2EError:
    return outcome.error or SkippedError(f"{outcome.step} ended as {outcome.status}")


def _reason(outcome: Outcome) -> str:
    error = _error(outcome)
    return shorten(f"{type(error).__name__}: {error}", 200)
