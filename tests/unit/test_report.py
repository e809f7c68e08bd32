from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime

import attrs
import pytest
from bulk_model import images_named

from aioe2e.bulk import BulkError, Outcome, Plan, Report, Status, Step
from aioe2e.errors import (
    ConflictError,
    E2EError,
    OutcomeUnknownError,
    ServerError,
    SkippedError,
)
from aioe2e.models import ActionResult, SaveAction

PLAN = Plan.delete(["1", "2", "3", "4", "5"])
TAKEN = ConflictError("the name is taken", status=409, code=409, action="rename", attempts=1)
LOST = OutcomeUnknownError("sent, no reply", action="delete", target="4", attempts=2)


def mixed() -> Report:
    outcomes = [
        Outcome(PLAN[4], Status.SKIPPED, error=SkippedError("the run was stopped")),
        Outcome(PLAN[0], Status.DONE, ActionResult(message="ok"), attempts=1, elapsed=0.25),
        Outcome(PLAN[3], Status.UNKNOWN, error=LOST, attempts=2),
        Outcome(PLAN[1], Status.UNCHANGED),
        Outcome(PLAN[2], Status.FAILED, error=TAKEN, attempts=1),
    ]
    return Report(outcomes, plan=PLAN, elapsed=1.5)


def fine() -> Report:
    return Report([Outcome(step, Status.DONE, ActionResult()) for step in PLAN], plan=PLAN)


def test_a_report_is_a_sequence_in_plan_order() -> None:
    report = mixed()
    assert [outcome.step.index for outcome in report] == [0, 1, 2, 3, 4]
    assert len(report) == 5
    assert report[-1].status == "skipped"
    assert report[0] in report
    assert [outcome.status for outcome in report[1:3]] == [Status.UNCHANGED, Status.FAILED]


def test_counts_have_every_status() -> None:
    assert mixed().counts() == dict.fromkeys(Status, 1)
    assert fine().counts() == {
        Status.DONE: 5, Status.UNCHANGED: 0, Status.FAILED: 0, Status.UNKNOWN: 0, Status.SKIPPED: 0,
    }  # fmt: skip
    assert fine().counts()["done"] == 5  # type: ignore[index]  # the words serve as keys too


def test_ok_means_that_every_step_is_as_it_should_be() -> None:
    assert fine().ok
    assert not mixed().ok
    assert Report([], plan=None).ok
    assert not Report([], plan=None, counts={Status.FAILED: 1}).ok
    assert hash(Report([], plan=None, counts={Status.DONE: 1})) == hash(Report([], plan=None))
    assert [outcome.ok for outcome in mixed()] == [True, True, False, False, False]


def test_where_picks_by_status() -> None:
    assert [o.step.index for o in mixed().where(Status.UNKNOWN, Status.DONE)] == [0, 3]
    assert mixed().where() == ()


def test_raise_for_errors_raises_nothing_when_all_is_well() -> None:
    fine().raise_for_errors()


def test_raise_for_errors_raises_for_failed_unknown_and_skipped() -> None:
    report = mixed()
    with pytest.raises(BulkError) as caught:
        report.raise_for_errors()
    assert caught.value.report is report
    assert list(caught.value.exceptions) == [LOST, TAKEN, report[4].error]
    for part in (
        "3 of 5 steps did not end well",
        "step 3 (delete 4): OutcomeUnknownError: sent, no reply",
        "step 2",
    ):
        assert part in str(caught.value)
    assert pickle.loads(pickle.dumps(caught.value)).report.counts() == report.counts()


def test_except_star_sorts_the_errors_by_cause() -> None:
    seen: list[str] = []
    try:
        mixed().raise_for_errors()
    except* ConflictError as conflicts:
        seen += [str(error) for error in conflicts.exceptions]
    except* E2EError as others:
        seen += [type(error).__name__ for error in others.exceptions]
    assert seen == ["the name is taken", "OutcomeUnknownError", "SkippedError"]


def test_the_error_of_a_long_report_stays_short() -> None:
    plan = Plan.delete(range(1, 5001))
    with pytest.raises(BulkError) as caught:
        Report(
            [Outcome(step, Status.FAILED, error=TAKEN) for step in plan], plan=plan
        ).raise_for_errors()
    assert len(str(caught.value)) < 1000
    assert "and 4997 more" in str(caught.value)
    assert len(caught.value.exceptions) == 5000


def test_remaining_follows_the_rule_of_plans() -> None:
    rest = mixed().remaining()
    assert [(step.index, step.open) for step in rest] == [(3, True), (4, False)]
    assert rest.digest == PLAN.digest
    assert "step 2 (delete 3) is left out" in rest.warnings[0]
    assert not fine().remaining()


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (SkippedError("x"), True),
        (ServerError("x", status=500), True),
        (TAKEN, False),
        (LOST, True),
        (None, False),
    ],
)
def test_what_was_never_sent_or_passes_is_worth_running_again(
    error: E2EError | None, passing: bool
) -> None:
    outcome = Outcome(PLAN[0], Status.FAILED, error=error)
    assert outcome.passing is passing
    assert outcome.record.passing is passing
    assert len(Report([outcome], plan=Plan(PLAN[:1])).remaining()) == passing


def test_a_swap_stopped_between_its_halves_is_finished_by_what_remains() -> None:
    first, second = images_named("ab")
    plan = Plan.rename([(first, "b"), (second, "a")])
    outcomes = [
        Outcome(plan[0], Status.FAILED, error=SkippedError("stopped"), halfway=True),
        Outcome(plan[1], Status.DONE, ActionResult()),
    ]
    (step,) = Report(outcomes, plan=plan).remaining()
    assert (step.previous, step.via, step.after, step.name) == (plan[0].via, None, (), "b")


def test_the_report_of_a_stream_keeps_what_did_not_end_well_and_counts_all() -> None:
    steps = [attrs.evolve(Step.delete(number + 1), index=number) for number in range(4)]
    bad = [
        Outcome(steps[3], Status.SKIPPED, error=SkippedError("x")),
        Outcome(steps[1], Status.UNKNOWN, error=LOST),
    ]
    report = Report(
        bad, plan=None, counts={Status.DONE: 1_000_000, Status.UNKNOWN: 1, Status.SKIPPED: 1}
    )
    assert len(report) == 2
    assert report.counts()[Status.DONE] == 1_000_000
    assert not report.ok
    assert [(step.index, step.open) for step in report.remaining()] == [(1, True), (3, False)]
    settled = report.settle([Outcome(steps[1], Status.DONE, ActionResult())])
    assert [outcome.step.index for outcome in settled] == [3]
    assert settled.counts() == report.counts() | {Status.DONE: 1_000_001, Status.UNKNOWN: 0}


def test_settling_makes_a_new_report() -> None:
    report = mixed()
    settled = report.settle([Outcome(PLAN[3], Status.DONE, ActionResult())])
    assert report.where(Status.UNKNOWN)
    assert not settled.where(Status.UNKNOWN)
    assert settled.counts()[Status.DONE] == 2
    assert len(settled) == 5
    assert settled.plan is PLAN


def test_a_report_is_frozen_and_pickles() -> None:
    report = mixed()
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        report.plan = None  # type: ignore[misc]  # what is refused
    back = pickle.loads(pickle.dumps(report))
    assert back.counts() == report.counts()
    assert str(back) == str(report)
    assert back.plan == PLAN
    assert back.elapsed == 1.5


def test_a_report_prints_failures_first_and_loudly() -> None:
    lines = str(mixed()).splitlines()
    assert lines[0].startswith("3 of 5 steps did not end well")
    assert ["UNKNOWN" in lines[2], "FAILED" in lines[3], "SKIPPED" in lines[4]] == [True] * 3
    assert "the name is taken" in lines[3]
    assert "delete 3" in lines[3]
    assert str(fine()) == "5 steps: 5 done"
    assert str(Report([], plan=None)) == "no steps"
    assert repr(fine()) == "<Report: ok: done 5>"
    assert repr(mixed()).startswith("<Report: NOT OK: ")


def test_a_long_report_prints_the_first_failures() -> None:
    plan = Plan.delete(range(1, 200))
    text = str(Report([Outcome(step, Status.FAILED, error=TAKEN) for step in plan], plan=plan))
    assert len(text.splitlines()) == 53
    assert text.endswith("… and 149 more")


def test_a_report_goes_into_json() -> None:
    report = mixed()
    saved = SaveAction(
        action_id="7",
        node_id="9",
        name="n",
        status="done",
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    save = Outcome(Plan.save({"9": "n"})[0], Status.DONE, saved)
    assert json.loads(json.dumps(save.to_dict()))["result"] == {
        "action_id": "7", "node_id": "9", "name": "n", "status": "done",
        "created_at": "2026-01-02T00:00:00+00:00", "image_id": None, "extra": {},
    }  # fmt: skip
    data = json.loads(json.dumps(report.to_dict()))
    assert data["ok"] is False
    assert data["elapsed"] == 1.5
    assert data["counts"] == {"done": 1, "unchanged": 1, "failed": 1, "unknown": 1, "skipped": 1}
    assert data["outcomes"][2]["error"] == {
        "type": "ConflictError", "message": "the name is taken", "status": 409, "code": 409, "action": "rename", "attempts": 1,
    }  # fmt: skip
    assert data["outcomes"][4]["error"]["reason"] == "the run was stopped"
    assert data["outcomes"][0] == {
        "step": {"action": "delete", "target": "1", "index": 0}, "status": "done", "attempts": 1, "elapsed": 0.25,
        "result": {"message": "ok"},
    }  # fmt: skip
