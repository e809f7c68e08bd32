"""``python -m aioe2e``, run the way a user runs it: as a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys

import pytest

import aioe2e
from aioe2e import __main__ as command_line
from aioe2e import _demo as demo_module
from aioe2e.testing import FakeE2E

#: With the import path of the tests themselves: of the installed package where they run against that.
COMMAND = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "aioe2e"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_on_a_terminal(**environment: str) -> str:
    """The demo's output when it goes to a terminal."""
    pty = pytest.importorskip("pty", reason="terminals are emulated on POSIX only")
    ours, theirs = pty.openpty()
    settings = {key: value for key, value in os.environ.items() if key != "NO_COLOR"}
    with subprocess.Popen(
        [*COMMAND, "demo"],
        stdout=theirs,
        stderr=theirs,
        env={**settings, "TERM": "xterm", **environment},
    ) as process:
        os.close(theirs)
        chunks = []
        with contextlib.suppress(OSError):  # how Linux says that the other side is gone
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        os.close(ours)
    assert process.returncode == 0
    return b"".join(chunks).decode()


def test_demo_shows_what_the_library_is_for_and_proves_it_against_the_emulator() -> None:
    done = run("demo")  # about 5 s on a calm machine
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"save an image of every node +20 done +\d\.\d\d s\n", done.stdout)
    assert re.search(r"rename web-\*, api-\*, db-\* to prod-\* +60 done ", done.stdout)
    assert re.search(r"\d+ writes in \d+\.\d s; one by one they would take \d+\.\d s", done.stdout)
    assert "DONE. Deleted once." in done.stdout
    assert "UNKNOWN. It is not sent again" in done.stdout
    assert "Reconciled with a listing: DONE. Saved once." in done.stdout
    match = re.search(r"Killed after (\d+) of 40\.", done.stdout)
    assert match is not None
    assert 15 <= int(match[1]) < 40
    assert "Resumed: 40 of 40 DONE." in done.stdout
    assert "Checked against the emulator's own state: " in done.stdout
    assert "each applied once" in done.stdout


def test_demo_says_that_it_leaves_a_real_account_alone_and_uses_none_of_its_credentials() -> None:
    secrets = {"E2E_API_KEY": "real-key-0123456789", "E2E_AUTH_TOKEN": "real-token-0123456789"}
    done = run("demo", **secrets, E2E_PROJECT_ID="no number", E2E_LOCATION="\t")
    assert done.returncode == 0
    assert "It never touches a real account." in done.stdout
    assert (
        "(E2E_API_KEY and E2E_AUTH_TOKEN are set in this environment, and not used.)" in done.stdout
    )
    assert not any(secret in done.stdout + done.stderr for secret in secrets.values())


def test_demo_prints_plain_and_few_lines_when_nobody_watches() -> None:
    done = run("demo")
    assert "\r" not in done.stdout
    assert "\x1b" not in done.stdout
    assert len(done.stdout.splitlines()) <= 24
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_demo_moves_one_line_along_on_a_terminal_and_colours_the_verdict() -> None:
    shown = run_on_a_terminal()
    # Which of the parts lasts long enough for a line depends on the machine.
    assert re.search(r"\r[^\r\n]*: \d+ of \d+ \(\d+ in flight", shown)
    assert "\x1b[32mChecked against" in shown


def test_demo_honours_no_color() -> None:
    assert "\x1b" not in run_on_a_terminal(NO_COLOR="1")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_demo_ends_at_ctrl_c_without_a_traceback() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it is under way
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (
        complaints.strip()
        == "interrupted: the emulated account is gone, and nothing else was touched"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="pipes break otherwise there")
def test_demo_ends_without_a_traceback_when_nobody_reads_on() -> None:
    with subprocess.Popen(
        [*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        complaints = process.stderr.read()
    assert (process.returncode, complaints) == (0, "")


def test_without_a_command_the_help_is_shown() -> None:
    done = run()
    assert done.returncode == 0
    assert "demo" in done.stdout


def test_version_is_told() -> None:
    assert run("--version").stdout.strip() == f"aioe2e {aioe2e.__version__}"


def test_unknown_commands_are_refused() -> None:
    assert run("dance").returncode == 2


def test_importing_the_package_loads_neither_command_line_nor_emulator() -> None:
    program = (
        "import sys, aioe2e; "
        "print([name for name in ('argparse', 'aioe2e._demo', 'aioe2e.testing', 'aiohttp.web') if name in sys.modules])"
    )
    done = subprocess.run(
        [*COMMAND[:-2], "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


async def test_demo_says_so_when_a_step_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Refusing(FakeE2E):
        async def start(self) -> None:
            await super().start()
            self.inject("412-json", "delete", times=1)

    monkeypatch.setattr(demo_module, "FakeE2E", Refusing)
    assert not await demo_module.demo()
    shown = capsys.readouterr().out
    assert "NOT OK: not every step ended well" in shown
    assert "should be gone" in shown


async def test_demo_says_so_when_the_truth_is_another(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Meddled(demo_module.Demo):
        async def lost_reply(self) -> None:
            await super().lost_reply()
            await self.images.rename(survivor.pop(), "somebody-else-was-here")

    survivor: list[str] = []

    class Remembering(FakeE2E):
        async def start(self) -> None:
            await super().start()
            survivor.append(list(self.images)[-1])

    monkeypatch.setattr(demo_module, "Demo", Meddled)
    monkeypatch.setattr(demo_module, "FakeE2E", Remembering)
    assert not await demo_module.demo()
    shown = capsys.readouterr().out
    assert "is called 'somebody-else-was-here'" in shown
    assert "writes were planned and" in shown


async def test_demo_reports_an_error_that_ends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Failing(FakeE2E):
        def __init__(self, *arguments: object, **options: object) -> None:
            super().__init__(*arguments, **{**options, "save_result": "Error"})  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr(demo_module, "FakeE2E", Failing)
    assert not await demo_module.demo()
    assert "NOT OK: ImageFailedError" in capsys.readouterr().out


def test_exit_status_is_1_when_the_demo_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing() -> bool:
        return False

    monkeypatch.setattr(demo_module, "demo", failing)
    assert command_line.main(["demo"]) == 1
