"""The command line as a process of its own: signals, pipes, terminals, how it starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_account import Account, opened

from aioe2e.testing import FakeE2E

COMMAND = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "aioe2e"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    fake = FakeE2E(images=60, nodes=5, latency=0.05)
    yield from opened(monkeypatch, tmp_path, fake)


def started(account: Account, *words: str, stdin: int | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *words, "--base-url", account.fake.url],
        env={**os.environ, "XDG_STATE_HOME": str(account.state), "PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_writes(account: Account, number: int) -> None:
    """Wait until so many changes were made."""
    end = time.monotonic() + 60
    while account.writes < number:
        assert time.monotonic() < end
        os.sched_yield()


@POSIX
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_bulk_delete_gives_a_true_report_and_a_journal_that_resumes(
    account: Account, number: signal.Signals
) -> None:
    with started(account, "images", "delete", "--match", "*", "-y", "--limit", "2") as process:
        until_writes(account, 5)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    done = account.writes
    assert 5 <= done < 60
    assert f"{done} deleted" in err
    assert f"{60 - done} skipped" in err
    assert len(out.splitlines()) == 61
    (journal,) = account.journals
    assert str(journal) in err
    assert "Next step: aioe2e images resume" in err


@POSIX
def test_a_second_signal_cancels_what_is_in_flight(account: Account) -> None:
    account.fake.inject("hang", "delete", times=60)
    with started(account, "images", "delete", "--match", "*", "-y", "--limit", "2") as process:
        end = time.monotonic() + 60
        while not any(call.action == "delete" for call in account.fake.calls):
            assert time.monotonic() < end
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert "Ctrl-C again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "unknown" in err


@POSIX
def test_a_signal_while_it_reads_ends_it_at_once(account: Account) -> None:
    account.fake.inject("hang", "list")
    with started(account, "images", "list") as process:
        end = time.monotonic() + 60
        while not account.fake.calls:
            assert time.monotonic() < end
            os.sched_yield()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


@POSIX
def test_a_reader_that_has_enough_gets_no_traceback(account: Account) -> None:
    with started(account, "images", "list", "-o", "jsonl") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, "")


@POSIX
def test_a_closed_pipe_stops_a_run_and_is_reported(account: Account) -> None:
    words = ("images", "delete", "--match", "*", "-y", "-o", "jsonl", "--limit", "1")
    with started(account, *words) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert process.returncode == 1, err
    assert "skipped" in err
    assert "Traceback" not in err
    assert "Exception ignored" not in err
    assert account.writes < 60


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk, as Linux has it")
def test_a_full_disk_is_an_error_and_no_traceback(account: Account) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "images", "list", "--base-url", account.fake.url],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("Error: the output cannot be written")
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@POSIX
def test_one_command_feeds_the_next(account: Account) -> None:
    first = started(account, "images", "list", "-q", "--match", "web-*")
    assert first.stdout is not None
    second = started(
        account, "images", "delete", "--from", "-", "--yes", stdin=first.stdout.fileno()
    )
    first.stdout.close()
    out, err = second.communicate(timeout=60)
    assert first.wait() == 0
    assert first.stderr is not None
    first.stderr.close()
    assert second.returncode == 0, err
    assert not [i for i in account.fake.images.values() if i["name"].startswith("web-")]
    assert "done" in out


def test_the_import_of_the_library_loads_no_extra() -> None:
    program = (
        "import sys, aioe2e; "
        "print([n for n in ('cyclopts', 'rich', 'aioe2e.cli') if n in sys.modules])"
    )
    done = subprocess.run(
        [*COMMAND[:-2], "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_command_that_draws_nothing_does_not_load_rich(account: Account) -> None:
    program = (
        "import sys; from aioe2e.__main__ import main; "
        f"code = main(['images', 'list', '-q', '--base-url', {account.fake.url!r}]); "
        "print([n for n in ('rich.progress', 'aioe2e.testing') if n in sys.modules])"
    )
    done = subprocess.run(
        [*COMMAND[:-2], "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


@POSIX
@pytest.mark.parametrize(
    ("typed", "code"), [(b"\x03", 130), (b"\x04", 2), (b"n\n", 2), (b"y\n", 0)]
)
def test_a_question_is_answered_on_a_terminal(account: Account, typed: bytes, code: int) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    # The first terminal that a new session opens becomes its own, so that Ctrl-C reaches it.
    terminal = os.ttyname(theirs)
    shell = ["sh", "-c", f'exec "$@" <{terminal} >{terminal} 2>&1', "sh"]
    command = [*COMMAND, "images", "delete", "26318", "--base-url", account.fake.url]
    with subprocess.Popen(
        [*shell, *command],
        env={**os.environ, "TERM": "xterm", "NO_COLOR": "1"},
        start_new_session=True,
    ) as process:
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(ours, 65536)
        os.close(theirs)
        os.write(ours, typed)
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:  # how Linux says that the other side is gone
            pass
    os.close(ours)
    assert process.returncode == code, shown
    assert b"Traceback" not in shown
    assert ("26318" in account.fake.images) is (code != 0)
