"""How a program starts: what ``python -m aioe2e`` loads, and Ctrl-C while it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "aioe2e"]
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")

#: Stands in for a module of the library's: it says that it is being imported, and goes on for long.
SLOW = """
import select, sys
sys.stdout.write("importing\\n")
sys.stdout.flush()
try:
    while True:
        select.select([], [], [], 60)
except BaseException:  # as a callback of the import system would, which nothing can leave
    sys.stderr.write("an exception was raised in the import\\n")
    raise
"""


@pytest.fixture
def hindered(tmp_path: Path) -> dict[str, str]:
    """An environment in which the import of argparse, cyclopts and aiohttp does not come to an end."""
    for name in ("argparse", "cyclopts", "aiohttp"):
        (tmp_path / f"{name}.py").write_text(SLOW)
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@POSIX
@pytest.mark.parametrize("words", [["demo"], ["emulator"], ["images", "list"], ["--help"]])
def test_ctrl_c_during_the_start_ends_it_quietly(
    hindered: dict[str, str], words: list[str]
) -> None:
    with subprocess.Popen(
        [*COMMAND, *words],
        env=hindered,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    assert (process.returncode, complaints) == (130, "")


@POSIX
def test_a_program_that_ignores_ctrl_c_goes_on_ignoring_it(hindered: dict[str, str]) -> None:
    program = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); "
        "sys.argv = ['aioe2e']; from aioe2e.__main__ import main; main(['demo'])"
    )
    with subprocess.Popen(
        [*COMMAND[:-2], "-c", program], env=hindered, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(signal.SIGINT)
        process.terminate()
    assert process.returncode == -signal.SIGTERM


def loaded_by(*words: str) -> set[str]:
    """The modules that a command line loads."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *COMMAND[1:], *words],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [line.split("|") for line in done.stderr.splitlines() if line.count("|") == 2]
    return {row[2].strip() for row in rows}


def test_the_version_loads_next_to_nothing() -> None:
    assert not loaded_by("--version") & {"argparse", "asyncio", "attrs", "aiohttp", "cyclopts"}


@pytest.mark.parametrize(
    "words", [["--help"], ["images", "delete", "--help"], ["completion", "bash"]]
)
def test_help_and_completion_load_neither_client_nor_server(words: list[str]) -> None:
    assert not loaded_by(*words) & {"aiohttp", "aioe2e.testing", "rich.progress"}
