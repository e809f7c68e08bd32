"""One report of several runs of a plan: by the journal, or put together."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import attrs
import pytest

from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Outcome, Plan, Report, Status, Step, Stream
from aioe2e.bulk.journal import Journal
from aioe2e.errors import (
    APIError,
    ConflictError,
    ConnectionLostError,
    E2EError,
    OutcomeUnknownError,
    ServerError,
    SkippedError,
    UsageError,
)
from aioe2e.models import Action, ActionResult, SaveAction, SavedImage

SAVES = Plan.save({"11": "n1", "12": "n2", "13": "n3", "14": "n4"})
MADE = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def accepted(step: Step) -> SaveAction:
    return SaveAction(
        action_id=f"a{step.target}",
        node_id=step.target,
        name=str(step.name),
        status="done",
        created_at=MADE,
        extra={"said": "by the server"},
    )


class Server:
    """Does what its script says of each target, once; then it accepts."""

    def __init__(self, **errors: E2EError) -> None:
        self.errors = errors

    async def __call__(self, step: Step, record: CallRecord) -> Ending:
        if record.orders.before_send is not None:
            record.orders.before_send()
        record.attempts = 1
        error = self.errors.pop(f"_{step.target}", None)
        if error is not None:
            raise error
        result = accepted(step) if step.action is Action.SAVE else ActionResult(message="fine")
        return Ending(Status.DONE, result)


def lost(step_target: str, action: str = "save") -> E2EError:
    return OutcomeUnknownError("sent once", action=action, target=step_target, attempts=1)


async def test_the_journal_knows_all_steps_of_all_runs(tmp_path: Path) -> None:
    path = tmp_path / "j"
    server = Server(
        _11=ConflictError("taken", status=409, attempts=1),
        _12=ServerError("down", status=503, attempts=1),
        _13=lost("13"),
    )
    await Stream(SAVES, perform=server, journal=path, limit=1).drain()
    report = Report.from_journal(path)
    assert [o.status.value for o in report] == ["failed", "failed", "unknown", "done"]
    assert [o.http for o in report] == [409, 503, None, None]
    assert isinstance(report[0].error, ConflictError)
    assert [o.passing for o in report] == [False, True, True, False]
    assert report.plan == SAVES
    assert [step.index for step in report.remaining()] == [1]
    assert [step.index for step in report.remaining().unknown] == [2]
    assert report.remaining() == Plan.resume(path)

    resumed = await Stream(Plan.resume(path), perform=server, journal=path).drain()
    assert len(resumed) == 2
    report = Report.from_journal(path)
    assert [o.status.value for o in report] == ["failed", "done", "unknown", "done"]
    assert [o.attempts for o in report] == [1, 2, 1, 1]


async def test_a_save_of_the_journal_has_what_waiting_for_it_takes_and_no_text_of_the_server(
    tmp_path: Path,
) -> None:
    path = tmp_path / "j"
    first = await Stream(SAVES, perform=Server(), journal=path).drain()
    expected = [attrs.evolve(accepted(step), status="", extra={}) for step in SAVES]
    assert Report.from_journal(path).saved() == expected
    assert [action.extra for action in first.saved()] == [{"said": "by the server"}] * 4
    assert "by the server" not in path.read_text()


def test_a_journal_without_its_last_lines_is_a_report_too(tmp_path: Path) -> None:
    path = tmp_path / "j"
    images = SavedImage(image_id="1", name="a"), SavedImage(image_id="2", name="b")
    swap = Plan.rename([(images[0], "b"), (images[1], "a")])
    with Journal.open(path, swap) as journal:
        journal.sent(0)
        journal.half_done(0)
        journal.sent(1)
    half, sent = Report.from_journal(path)
    assert (half.status, half.halfway, half.passing) == (Status.FAILED, True, True)
    assert sent.status is Status.UNKNOWN
    assert isinstance(sent.error, OutcomeUnknownError)
    assert (sent.error.action, sent.error.target) == ("rename", "2")
    empty = tmp_path / "k"
    Journal.open(empty, swap).close()
    report = Report.from_journal(empty)
    assert [o.status for o in report] == [Status.SKIPPED] * 2
    assert all(isinstance(o.error, SkippedError) for o in report)
    assert Report.from_dict(report.to_dict()) == report


def test_a_refusal_that_passes_by_its_text_stays_passing_in_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal.open(path, SAVES) as journal:
        journal.ended(0, "failed", error="ConflictError", http=412, passing=True)
        journal.ended(1, "failed", error="NotMadeYetError", http=499)
    waiting, other = Report.from_journal(path)[:2]
    assert waiting.passing
    assert isinstance(waiting.error, APIError)
    assert type(other.error) is E2EError


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "is empty"), ("hello\n", "is no journal"), ('{"aioe2e":9}\n', "format 9"), ('{"aioe2e":1}\n', "line 1")],
)  # fmt: skip
def test_what_is_no_journal_is_no_report_and_stays_as_it_is(
    tmp_path: Path, text: str, says: str
) -> None:
    path = tmp_path / "j"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        Report.from_journal(path)
    assert path.read_text() == text


async def test_reports_of_a_run_and_of_the_one_that_resumed_it_become_one(tmp_path: Path) -> None:
    path = tmp_path / "j"
    server = Server(_12=ServerError("down", status=503, attempts=1), _13=lost("13"))
    first = await Stream(SAVES, perform=server, journal=path).drain()
    second = await Stream(Plan.resume(path), perform=server, journal=path).drain()
    whole = second.merged(first)
    assert [o.status.value for o in whole] == ["done", "done", "unknown", "done"]
    assert [o.attempts for o in whole] == [1, 2, 1, 1]
    assert whole.plan == SAVES
    assert [action.node_id for action in whole.saved()] == ["11", "12", "14"]
    assert not whole.remaining().steps
    by_journal = Report.from_journal(path)
    assert [o.status for o in whole] == [o.status for o in by_journal]


DELETES = Plan.delete(["1", "2"])


def ended(status: Status, error: E2EError | None = None) -> Report:
    return Report([Outcome(DELETES[0], status, error=error)], plan=DELETES)


@pytest.mark.parametrize(
    ("before", "now", "after"),
    [
        (ended(Status.UNKNOWN, lost("1", "delete")), ended(Status.SKIPPED, SkippedError("x")), Status.UNKNOWN),
        (ended(Status.UNKNOWN, lost("1", "delete")), ended(Status.FAILED, ConnectionLostError("x", sent=False)), Status.UNKNOWN),
        (ended(Status.UNKNOWN, lost("1", "delete")), ended(Status.DONE), Status.DONE),
        (ended(Status.FAILED, ServerError("x", status=503)), ended(Status.SKIPPED, SkippedError("x")), Status.SKIPPED),
        (ended(Status.SKIPPED, SkippedError("x")), ended(Status.UNKNOWN, lost("1", "delete")), Status.UNKNOWN),
    ],
)  # fmt: skip
def test_what_may_have_been_carried_out_stays_unknown_until_it_is_settled(
    before: Report, now: Report, after: Status
) -> None:
    assert [outcome.status for outcome in now.merged(before)] == [after]


def test_only_reports_of_one_plan_are_merged() -> None:
    other = Report([], plan=Plan.delete(["9"]))
    for wrong, says in (
        (other, "another plan"),
        (Report([], plan=None), "streams"),
        ("x", "a Report is needed"),
    ):
        with pytest.raises(UsageError, match=says):
            ended(Status.DONE).merged(wrong)  # type: ignore[arg-type]  # on purpose


def test_the_saves_of_a_stream_are_not_kept_and_that_is_said() -> None:
    with pytest.raises(UsageError, match="take their results from the stream"):
        Report([], plan=None, counts={Status.DONE: 3}).saved()
    assert Report([], plan=None).saved() == []
