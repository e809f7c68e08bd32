"""Plans, outcomes, reports and progress as JSON, and back: equal to what they were."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest
from test_errors import EXAMPLES

from aioe2e._plain import error_as_json, error_of_json
from aioe2e.bulk import BulkError, Outcome, Plan, Progress, Report, Status, Step
from aioe2e.errors import (
    ConflictError,
    ConnectionLostError,
    E2EError,
    OutcomeUnknownError,
    SkippedError,
    UsageError,
)
from aioe2e.models import ActionResult, SaveAction, SavedImage

A, B = SavedImage(image_id="1", name="a"), SavedImage(image_id="2", name="b")
PLAN = Plan.rename([(A, "b"), (B, "a"), ("3", "c"), ("4", "d")])
SAVES = Plan.save({"11": "n1", "12": "n2"})
ACTION = SaveAction(
    action_id="7",
    node_id="11",
    name="n1",
    status="done",
    created_at=datetime(2026, 1, 2, tzinfo=UTC),
)
LOST = OutcomeUnknownError(
    "sent once",
    action="rename",
    target="3",
    attempts=1,
    last=ConnectionLostError("the connection broke", sent=True, attempts=1),
    looked=True,
    subject="rename of image 3",
)
REPORT = Report(
    [
        Outcome(
            PLAN[0],
            Status.FAILED,
            error=SkippedError("the run was stopped"),
            attempts=1,
            halfway=True,
        ),
        Outcome(
            PLAN[1], Status.DONE, ActionResult(message="ok"), attempts=1, elapsed=0.1234567890123
        ),
        Outcome(PLAN[2], Status.UNKNOWN, error=LOST, attempts=1, elapsed=1 / 3),
        Outcome(
            PLAN[3], Status.FAILED, error=ConflictError("taken", status=409, errors=["a", "b"])
        ),
    ],
    plan=PLAN,
    elapsed=2.5,
)
SAVED = Report(
    [
        Outcome(SAVES[0], Status.DONE, ACTION),
        Outcome(SAVES[1], Status.SKIPPED, error=SkippedError("x")),
    ],
    plan=SAVES,
)
STREAMED = Report([REPORT[3]], plan=None, counts={Status.DONE: 10**6, Status.FAILED: 1})
PROGRESS = Progress(
    total=None, finished=3, failed=1, in_flight=2, limit=4, rate=0.1 + 0.2, paused=True, eta=None
)


def through_json(data: object) -> Any:
    return json.loads(json.dumps(data, allow_nan=False))


@pytest.mark.parametrize("error", [e for e in EXAMPLES if not isinstance(e, BulkError)], ids=repr)
def test_an_error_comes_back_with_its_class_text_and_attributes(error: E2EError) -> None:
    error = error_of_json(error_as_json(error))  # what no maker says has its default from now on
    error.add_note("on the second node")
    again = error_of_json(through_json(error_as_json(error)))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert again.args == error.args
    assert again.__notes__ == ["on the second node"]
    mine, theirs = dict(vars(error)), dict(vars(again))
    last = [found.pop("last", None) for found in (mine, theirs)]
    assert mine == theirs
    assert [type(each) for each in last] == [type(last[0])] * 2
    assert str(last[0]) == str(last[1])


def test_the_error_of_a_newer_version_is_an_error_of_the_library() -> None:
    error = error_of_json(
        {"type": "NotMadeYetError", "message": "m", "attempts": 2, "colour": "red"}
    )
    assert type(error) is E2EError
    assert (str(error), error.attempts) == ("m", 2)
    # A name of the module that is no error is none here, either.
    assert type(error_of_json({"type": "is_passing", "message": "m"})) is E2EError


@pytest.mark.parametrize(
    "data", [None, 5, "x", [], {}, {"type": "E2EError"}, {"type": 5, "message": "m"}]
)
def test_what_is_no_stored_error_is_refused(data: object) -> None:
    with pytest.raises(UsageError, match="a stored error has a type and a message"):
        error_of_json(data)


@pytest.mark.parametrize("report", [REPORT, SAVED, STREAMED, Report([], plan=None)], ids=repr)
def test_a_report_comes_back_equal(report: Report) -> None:
    again = Report.from_dict(through_json(report.to_dict()))
    assert again == report
    assert hash(again) == hash(report)
    assert again.counts() == report.counts()
    assert again.elapsed == report.elapsed
    assert str(again) == str(report)
    assert through_json(again.to_dict()) == through_json(report.to_dict())
    if report.plan is not None:
        assert again.remaining() == report.remaining()


@pytest.mark.parametrize("outcome", [*REPORT, *SAVED], ids=lambda outcome: outcome.status)
def test_an_outcome_comes_back_equal(outcome: Outcome) -> None:
    again = Outcome.from_dict(through_json(outcome.to_dict()))
    assert again == outcome
    assert hash(again) == hash(outcome)
    assert (again.passing, again.refused, again.http) == (
        outcome.passing,
        outcome.refused,
        outcome.http,
    )
    assert again.record == outcome.record


def test_outcomes_with_other_errors_are_not_equal() -> None:
    outcome = REPORT[3]
    other = attrs.evolve(outcome, error=ConflictError("taken", status=412, errors=["a", "b"]))
    assert other != outcome
    assert (
        attrs.evolve(outcome, error=ConflictError("taken", status=409, errors=["a", "b"]))
        == outcome
    )


def test_instants_are_iso_8601_with_their_zone() -> None:
    data = through_json(SAVED.to_dict())
    assert data["outcomes"][0]["result"]["created_at"] == "2026-01-02T00:00:00+00:00"
    step = attrs.evolve(Step.save("11", "n"), index=0, open=True, sent_at=1751000000.125)
    assert step.to_dict()["sent_at"] == "2025-06-27T04:53:20.125000+00:00"
    assert Step.from_dict(through_json(step.to_dict())) == step


def test_progress_comes_back_equal() -> None:
    assert Progress.from_dict(through_json(PROGRESS.to_dict())) == PROGRESS
    with pytest.raises(UsageError, match=r"no field .{9}; is 'finished' meant"):
        Progress.from_dict({"finish" + "d": 5})
    with pytest.raises(UsageError, match="total is missing"):
        Progress.from_dict({})


def changed(**fields: Any) -> dict[str, Any]:
    stored: dict[str, Any] = through_json(REPORT.to_dict())
    return stored | fields


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (None, "no report that Report.to_dict wrote in version 1"),
        ({}, "no report"),
        (changed(version=2), "no report"),
        (changed(counts={}), "counts: a number for each of done"),
        (changed(counts=5), "counts: an object"),
        (changed(outcomes={}), "outcomes: a list"),
        (changed(outcomes=[5]), "a stored outcome: an object is needed, not 5"),
        (changed(elapsed=10**400), "elapsed: a number is needed, not 1000"),
        (changed(outcomes=[{"step": {}}]), "action: one of"),
        (changed(outcomes=[{"step": PLAN[0].to_dict()}]), "a stored outcome: status is missing"),
        (changed(outcomes=[{"step": PLAN[0].to_dict(), "status": "fine"}]), "status: one of done"),
        (changed(plan={}), "no plan"),
        (changed(elapsed="long"), "elapsed: a number"),
        (changed(**{"elaps" + "d": 5}), "has no field .{8}; is .elapsed. meant"),
    ],
)  # fmt: skip
def test_a_damaged_report_is_refused_by_name(data: Any, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Report.from_dict(data)


@pytest.mark.parametrize("dump", [json.dumps, lambda data: json.dumps(data, sort_keys=True)])
def test_a_plan_goes_through_any_writer(dump: Callable[[Any], str]) -> None:
    assert Plan.from_dict(json.loads(dump(PLAN.to_dict()))) == PLAN
