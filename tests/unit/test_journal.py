from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import random
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from bulk_model import CrashError, Run, Store, images_named, renamings
from hypothesis import given, settings
from hypothesis import strategies as st

from aioe2e._record import CallRecord
from aioe2e.bulk import Ending, Plan, Status, Step, Stream
from aioe2e.bulk import journal as journal_module
from aioe2e.bulk.journal import Journal
from aioe2e.bulk.journal_reader import read
from aioe2e.bulk.order import is_temporary
from aioe2e.errors import SkippedError, UsageError
from aioe2e.models import SavedImage


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.journal"


SAVES = Plan.save({"1": "a", "2": "b", "3": "c"})
LARGE = Plan.rename({number: f"n{number}" for number in range(1, 1202)})
SWAP = Plan.rename([(image, name) for image, name in zip(images_named("ab"), "ba", strict=True)])


def written(path: Path, plan: Plan, *lines: tuple[Any, ...]) -> Plan:
    """What is left by a journal with these calls in it."""
    with Journal.open(path, plan) as journal:
        for method, index, *options in lines:
            getattr(journal, method)(index, **(options[0] if options else {}))
    return Plan.resume(path)


def test_a_fresh_journal_holds_the_whole_plan_and_is_for_nobody_else(path: Path) -> None:
    rest = written(path, SAVES)
    assert list(rest) == list(SAVES)
    assert rest.digest == SAVES.digest
    assert rest.resumed
    header = json.loads(path.read_text())
    assert header["aioe2e"] == 1
    assert header["digest"] == SAVES.digest
    assert header["plan"] == SAVES.to_dict()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_line_is_on_its_way_to_the_disk_when_the_call_returns(path: Path) -> None:
    with Journal.open(path, SAVES) as journal:
        journal.sent(1)
        assert path.read_text().splitlines()[-1].startswith('{"sent":1,"at":')
        journal.ended(1, "done")
        assert path.read_text().endswith('{"ended":1,"status":"done"}\n')


def test_a_save_that_was_sent_and_has_no_end_is_never_sent_again(path: Path) -> None:
    rest = written(path, SAVES, ("sent", 0), ("sent", 1), ("ended", 1, {"status": "done"}))
    assert [step.index for step in rest] == [2]
    assert [(step.index, step.open) for step in rest.unknown] == [(0, True)]
    assert any("may have been applied" in warning for warning in rest.warnings)


def test_a_rename_that_was_sent_and_has_no_end_is_open(path: Path) -> None:
    rest = written(path, Plan.rename({"1": "a", "2": "b"}), ("sent", 0))
    assert [(step.index, step.open) for step in rest] == [(0, True), (1, False)]


def test_what_failed_by_a_passing_fault_is_left_and_what_was_refused_is_not(path: Path) -> None:
    rest = written(
        path,
        SAVES,
        ("sent", 0),
        ("ended", 0, {"status": "failed", "passing": True, "error": "ServerError"}),
        ("ended", 1, {"status": "failed", "error": "NotFoundError"}),
        ("ended", 2, {"status": "skipped"}),
    )
    assert [step.index for step in rest] == [0, 2]
    assert not rest.unknown
    assert "ServerError" in path.read_text()


@pytest.mark.parametrize(
    "lines",
    [[("half_done", 0)], [("half_done", 0), ("sent", 0, {"half": 2})], [("sent", 0, {"half": 2})]],
)
def test_a_swap_cut_off_between_its_halves_starts_from_the_temporary_name(
    path: Path, lines: list[Any]
) -> None:
    rest = written(path, SWAP, ("sent", 0), *lines)
    assert is_temporary(rest[0].previous)
    assert rest[0].via is None
    assert rest[0].after == (1,)
    assert rest[0].open == any(line[0] == "sent" for line in lines)
    assert rest[1].after == ()


def test_a_swap_that_fails_again_still_starts_from_the_temporary_name(path: Path) -> None:
    rest = written(path, SWAP, ("sent", 0), ("half_done", 0), ("ended", 1, {"status": "done"}))
    again = written(path, rest, ("sent", 0), ("ended", 0, {"status": "failed", "passing": True}))
    assert [(step.index, step.previous, step.via, step.open) for step in again] == [
        (0, SWAP[0].via, None, False)
    ]


def test_a_swap_cut_off_in_its_first_half_is_opened_again(path: Path) -> None:
    rest = written(path, SWAP, ("sent", 0))
    assert rest[0].via == SWAP[0].via
    assert rest[0].open
    assert rest[1].after == (0,)
    assert any("may carry the temporary name" in warning for warning in rest.warnings)


def test_a_resumed_plan_goes_on_in_the_same_file(path: Path) -> None:
    rest = written(path, SAVES, ("sent", 0), ("ended", 0, {"status": "done"}))
    again = written(path, rest, ("sent", 1), ("ended", 1, {"status": "done"}))
    assert [step.index for step in again] == [2]
    assert again.digest == SAVES.digest
    assert path.read_text().count('"plan"') == 1


def test_what_was_open_stays_open_when_the_next_run_skips_it(path: Path) -> None:
    renames = Plan.rename({"1": "a", "2": "b"})
    rest = written(path, renames, ("sent", 0))
    again = written(
        path, rest, ("ended", 0, {"status": "skipped"}), ("ended", 1, {"status": "skipped"})
    )
    assert [step.open for step in again] == [True, False]


def test_the_journal_of_another_plan_is_refused(path: Path) -> None:
    written(path, SAVES)
    with pytest.raises(UsageError, match="another plan"):
        Journal.open(path, SWAP)


def test_a_journal_with_lines_of_this_plan_says_how_to_go_on(path: Path) -> None:
    written(path, SAVES, ("sent", 0))
    with pytest.raises(UsageError, match=r"Plan\.resume"):
        Journal.open(path, SAVES)


def test_a_journal_with_nothing_but_its_header_can_be_begun_again(path: Path) -> None:
    written(path, SAVES)
    assert list(written(path, SAVES, ("ended", 0, {"status": "done"}))) == list(SAVES[1:])


@pytest.mark.parametrize("line", [("ended", 0, {"status": "done"}), ("sent", 0)])
def test_a_plan_resumed_before_the_last_run_is_refused_so_that_no_save_is_made_twice(
    path: Path, line: Any
) -> None:
    stale = written(path, SAVES)
    written(path, stale, line)
    with pytest.raises(UsageError, match="knows more of step 0"):
        Journal.open(path, stale)


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks of this kind")
def test_two_runs_cannot_write_one_journal_at_the_same_time(path: Path) -> None:
    with Journal.open(path, SAVES) as journal:
        journal.sent(0)
        with pytest.raises(UsageError, match="another run"):
            Journal.open(path, Plan.resume(path))
    Journal.open(path, Plan.resume(path)).close()


@pytest.mark.parametrize("torn", ['{"en', '{"ended":1,"status":"done"}', "\0\0\0\0", '{"sent":2'])
def test_a_torn_last_line_is_ignored_and_does_not_spoil_the_next(path: Path, torn: str) -> None:
    written(path, SAVES, ("sent", 0), ("ended", 0, {"status": "done"}))
    with path.open("a") as file:
        file.write(torn)
    rest = Plan.resume(path)
    assert [step.index for step in rest] == [1, 2]
    assert not rest.unknown
    assert [step.index for step in written(path, rest, ("ended", 1, {"status": "done"}))] == [2]


def test_a_torn_header_means_that_nothing_was_sent(path: Path) -> None:
    written(path, SAVES)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match="run the plan anew"):
        Plan.resume(path)
    assert len(written(path, SAVES)) == 3


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "nonsense",
        '{"sent":7}',
        '{"sent":"0"}',
        '{"ended":0,"status":"fine"}',
        '{"what":0}',
    ],
)
def test_damage_before_the_last_line_is_named(path: Path, line: str) -> None:
    written(path, SAVES, ("sent", 0))
    with path.open("a") as file:
        file.write(f'{line}\n{{"sent":1}}\n')
    with pytest.raises(UsageError, match=r"damaged in line 3"):
        Plan.resume(path)


@pytest.mark.parametrize(
    "text",
    ["shopping list\n", "{}\n", '{"aioe2e":2}\n', '{"aioe2e":1,"plan":{},"digest":""}\n', "x"],
)
def test_a_file_that_is_no_journal_is_neither_read_nor_overwritten(path: Path, text: str) -> None:
    path.write_text(text)
    for use in (lambda: Plan.resume(path), lambda: Journal.open(path, SAVES)):
        with pytest.raises(UsageError):
            use()
    assert path.read_text() == text


def test_a_stored_plan_that_was_changed_in_the_file_is_refused(path: Path) -> None:
    written(path, SAVES)
    path.write_text(path.read_text().replace('"name":"a"', '"name":"z"'))
    with pytest.raises(UsageError, match="not those it had"):
        Plan.resume(path)


def test_an_empty_or_missing_file_cannot_be_resumed(path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Plan.resume(path)
    path.touch()
    with pytest.raises(UsageError, match="empty"):
        Plan.resume(path)


def test_a_path_that_cannot_be_written_is_a_usage_error(tmp_path: Path) -> None:
    for bad in (tmp_path, tmp_path / "no" / "such" / "folder", "nul\0byte"):
        with pytest.raises(UsageError, match=r"journal .* cannot be opened"):
            Journal.open(bad, SAVES)


def test_a_path_may_be_text(path: Path) -> None:
    Journal.open(str(path), SAVES).close()
    assert len(Plan.resume(str(path))) == 3


def test_a_write_that_cannot_be_noted_is_not_sent(path: Path) -> None:
    journal = Journal.open(path, SAVES)
    journal.close()
    journal.close()
    with pytest.raises(SkippedError, match="cannot be written"):
        journal.sent(0)


def test_an_end_that_cannot_be_noted_is_logged_once(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    journal = Journal.open(path, SAVES)
    journal.close()
    with caplog.at_level(logging.WARNING, "aioe2e"):
        journal.ended(0, "done")
        journal.half_done(1)
    assert (
        len([record for record in caplog.records if "cannot be written" in record.getMessage()])
        == 1
    )


def test_a_full_disk_is_a_usage_error_at_the_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(UsageError, match="No space left"):
        Journal.open(path, SAVES)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_what_is_no_regular_file_is_refused_and_not_read_for_ever(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="no regular file"):
        Plan.resume(pipe)
    with pytest.raises(UsageError, match="no regular file"):
        Journal.open(pipe, SAVES)


def test_a_line_of_which_only_a_part_fitted_is_taken_back(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal.open(path, SAVES)
    whole = path.read_bytes()
    writes = iter([os.write, None])
    real = os.write

    def short(descriptor: int, data: bytes) -> int:
        if next(writes) is None:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[:4])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(SkippedError, match="No space left"):
        journal.sent(0)
    monkeypatch.undo()
    assert path.read_bytes() == whole
    journal.sent(1)
    journal.close()
    assert read(path)[1].keys() == {1}


def test_no_text_of_an_error_is_written(path: Path) -> None:
    with Journal.open(path, SAVES) as journal:
        journal.ended(0, "failed", error="ServerError")
    assert json.loads(path.read_text().splitlines()[1]) == {
        "ended": 0,
        "status": "failed",
        "error": "ServerError",
    }


def test_a_long_journal_is_read_quickly(path: Path) -> None:
    plan = Plan.delete([str(number) for number in range(1, 30_001)])
    with Journal.open(path, plan) as journal:
        for index in range(30_000):
            journal.sent(index)
            journal.ended(index, "done")
    began = time.process_time()
    assert not read(path)[0]["unknown"]
    assert time.process_time() - began < 3  # about 0.3 on a calm machine
    assert not Plan.resume(path)


def test_a_journal_outlives_a_killed_process(path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from aioe2e.bulk.journal import Journal\n"
        "from aioe2e.bulk import Plan\n"
        "journal = Journal.open(sys.argv[1], Plan.save({'1': 'a', '2': 'b', '3': 'c'}))\n"
        "journal.sent(0); journal.ended(0, 'done'); journal.sent(1)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    rest = Plan.resume(path)
    assert [step.index for step in rest] == [2]
    assert [step.index for step in rest.unknown] == [1]
    Journal.open(path, rest).close()


@given(renamings(), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.3]))
@settings(max_examples=150, deadline=None)
def test_a_run_that_crashes_again_and_again_is_finished_by_its_journal(
    tmp_path_factory: pytest.TempPathFactory,
    case: tuple[list[SavedImage], list[tuple[SavedImage, str]]],
    dice: random.Random,
    faults: float,
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    images, pairs = case
    store = Store(images)
    plan = Plan.rename(pairs, existing=images)
    for crash in (0.2, 0.1, 0.1, 0.0):
        with Journal.open(path, plan) as journal, contextlib.suppress(CrashError):
            Run(store, dice, faults=faults if crash else 0.0, journal=journal, crash=crash)(plan)
        plan = Plan.resume(path)
    assert not plan
    if not faults:
        assert {image: store.names[image] for image in store.names} == {
            i.image_id: i.name for i in images
        } | {i.image_id: name for i, name in pairs}


@given(st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_no_save_is_made_twice_however_often_a_run_crashes(
    tmp_path_factory: pytest.TempPathFactory, dice: random.Random
) -> None:
    path = tmp_path_factory.mktemp("journal") / "j"
    store = Store([])
    first = plan = Plan.save({str(node): f"nightly-{node}" for node in range(1, 9)})
    for crash in (0.15, 0.15, 0.0):
        with Journal.open(path, plan) as journal, contextlib.suppress(CrashError):
            Run(store, dice, faults=0.2 if crash else 0.0, journal=journal, crash=crash)(plan)
        plan = Plan.resume(path)
    assert not plan.steps
    assert all(count == 1 for count in store.saves.values())
    unknown = {step.target for step in plan.unknown}
    done = {
        str(first[index].target)
        for index, record in read(path)[1].items()
        if record.status == "done"
    }
    refused = {
        str(first[index].target)
        for index, record in read(path)[1].items()
        if record.status == "failed"
    }
    assert done <= store.saves.keys() <= done | unknown
    assert done | unknown | refused == {step.target for step in first}


def test_saves_in_doubt_are_something_to_see_to(path: Path) -> None:
    with Journal.open(path, SAVES) as journal:
        for index in range(3):
            journal.sent(index)
    left = Plan.resume(path)
    assert left
    assert len(left) == 0
    assert repr(left) == "<Plan: nothing to send, 3 unknown, 3 warnings>"
    text = str(left)
    assert text.startswith(
        "What remains of a plan: nothing to send, but 3 saves of unknown outcome"
    )
    assert "images.reconcile" in text
    assert all(step.name is not None and step.name in text for step in SAVES)


async def test_a_resumed_plan_that_runs_without_its_journal_gets_a_warning(path: Path) -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        return Ending(Status.DONE)

    with Journal.open(path, SAVES) as journal:
        journal.sent(0)
        journal.ended(0, "failed", passing=True)
    left = Plan.resume(path)
    with pytest.warns(
        UserWarning, match=r"runs without journal=: a later Plan\.resume would offer"
    ) as warned:
        report = await Stream(left, perform=perform).drain()
    assert report.ok
    assert warned[0].filename == __file__
    assert len(Plan.resume(path)) == 3
    report = await Stream(Plan.resume(path), perform=perform, journal=path).drain()
    assert not Plan.resume(path)


def test_the_header_of_a_large_plan_is_what_json_makes_of_it(path: Path) -> None:
    with Journal.open(path, LARGE) as journal:
        journal.sent(0)
    stored = LARGE.to_dict()
    expected = {"aioe2e": 1, "digest": LARGE.digest, "plan": stored}
    assert path.read_text().split("\n")[0] == json.dumps(expected, separators=(",", ":"))
    steps = json.dumps(stored["steps"], sort_keys=True, separators=(",", ":"))
    assert LARGE.digest == hashlib.sha256(steps.encode()).hexdigest()


async def send_nothing(step: Step, record: CallRecord) -> Ending:
    """Fails a test in which nothing may be sent."""
    raise AssertionError(step)


class Held:
    """Stands for locking a journal's file: it waits until it is let go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self._lock = journal_module._lock
        monkeypatch.setattr(journal_module, "_lock", self)

    def __call__(self, descriptor: int, path: str) -> None:
        self.begun.set()
        assert self.let_go.wait(30), "the loop was held up"
        self._lock(descriptor, path)

    async def is_begun(self) -> None:
        while not self.begun.is_set():  # it is set by a thread
            await asyncio.sleep(0.001)


async def test_opening_the_journal_of_a_large_plan_does_not_hold_up_the_loop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def perform(step: Step, record: CallRecord) -> Ending:
        return Ending(Status.DONE)

    held = Held(monkeypatch)
    run = asyncio.create_task(Stream(LARGE, perform=perform, journal=path).drain())
    await held.is_begun()  # the loop goes on meanwhile
    held.let_go.set()
    assert (await run).ok
    assert not Plan.resume(path)


async def test_a_run_that_is_cancelled_while_its_journal_is_opened_sends_nothing_and_lets_go_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    stream = Stream(LARGE, perform=send_nothing, journal=path)
    run = asyncio.create_task(stream.drain())
    await held.is_begun()
    run.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    assert not run.done()  # the thread may still be writing
    held.let_go.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert stream.report.counts()[Status.SKIPPED] == len(LARGE)
    assert list(stream.report.remaining()) == list(LARGE)
    Journal.open(path, LARGE).close()


async def test_a_run_that_is_stopped_while_its_journal_is_opened_sends_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    stream = Stream(LARGE, perform=send_nothing, journal=path)
    run = asyncio.create_task(stream.drain())
    await held.is_begun()
    stream.stop()
    held.let_go.set()
    assert (await run).counts()[Status.SKIPPED] == len(LARGE)
    assert len(Plan.resume(path)) == len(LARGE)


@pytest.mark.parametrize("plan", [LARGE, SWAP], ids=["large", "small"])
async def test_every_step_of_a_run_whose_journal_cannot_be_used_is_skipped(
    path: Path, plan: Plan
) -> None:
    written(path, SAVES)
    stream = Stream(plan, perform=send_nothing, journal=path)
    with pytest.raises(UsageError, match="is that of another plan"):
        async with stream:
            raise AssertionError
    assert not stream.report.ok
    assert stream.report.counts()[Status.SKIPPED] == len(plan)


async def test_a_large_journal_that_cannot_be_used_is_a_usage_error(path: Path) -> None:
    written(path, SAVES)
    with pytest.raises(UsageError, match="is that of another plan"):
        await Stream(LARGE, perform=send_nothing, journal=path).drain()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_does_not_keep_the_lock_of_a_journal_and_cannot_write_to_it(
    path: Path,
) -> None:
    journal = Journal.open(path, SAVES)
    go, tell = os.pipe()
    told, answer = os.pipe()
    child = os.fork()
    if not child:  # pragma: no cover  # a process without the coverage's end
        try:
            journal.sent(0)
        except SkippedError:
            os.write(answer, b"refused")
        os.read(go, 1)  # the parent has closed its journal by then
        os._exit(0)
    try:
        assert os.read(told, 7) == b"refused"
        journal.sent(1)  # the child has let go of the file for itself only
        journal.close()
        Journal.open(path, Plan.resume(path)).close()
    finally:
        os.write(tell, b".")
        os.waitpid(child, 0)
        for descriptor in (go, tell, told, answer):
            os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_forked_while_a_journal_is_opened_does_not_keep_its_lock(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, tell = os.pipe()
    told, answer = os.pipe()
    lock = journal_module._lock
    children: list[int] = []

    def forking(descriptor: int, text: str) -> None:
        """Another thread of the process forks while this one opens the journal of a large plan."""
        lock(descriptor, text)
        child = os.fork()
        if not child:  # pragma: no cover  # a process without the coverage's end
            os.close(tell)
            os.write(answer, b".")
            os.read(go, 1)
            os._exit(0)
        children.append(child)
        assert os.read(told, 1)  # the child has let go of what it should

    try:
        with monkeypatch.context() as patch:
            patch.setattr(journal_module, "_lock", forking)
            Journal.open(path, SAVES).close()
        Journal.open(path, SAVES).close()
    finally:
        os.close(tell)
        for child in children:
            os.waitpid(child, 0)
        for end in (go, told, answer):
            os.close(end)


def test_the_journal_of_another_version_is_named_and_left_as_it_is(path: Path) -> None:
    with Journal.open(path, SAVES):
        pass
    newer = path.read_text().replace('"aioe2e":1', '"aioe2e":2')
    path.write_text(newer)
    with pytest.raises(UsageError, match="has format 2, and format 1 is needed"):
        Plan.resume(path)
    with pytest.raises(UsageError, match="has format 2, and format 1 is needed"):
        Journal.open(path, SAVES)
    assert path.read_text() == newer
