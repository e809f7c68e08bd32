"""The tutorial, followed step by step: its programs are saved, its commands are run, its output is compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import pytest
from snippets import ROOT

PAGE = ROOT / "docs" / "tutorial.md"
#: With the import path of the tests themselves: of the installed package where they run against that.
PYTHON = [sys.executable, *(["-P"] if sys.flags.safe_path else [])]
SERVE = "python -m aioe2e.testing --port 8400"

_PIECE = re.compile(
    r"^(?:`(?P<file>[\w.]+)`:\n\n)?```(?P<kind>python|sh|text)\n(?P<text>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shows commands of a POSIX shell")


@attrs.frozen
class Piece:
    kind: str
    text: str
    file: str | None

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()


def pieces() -> list[Piece]:
    found = _PIECE.finditer(PAGE.read_text(encoding="utf-8"))
    return [Piece(piece["kind"], piece["text"], piece["file"]) for piece in found]


@contextmanager
def emulator(arguments: str) -> Iterator[dict[str, str]]:
    """The emulator as the page starts it, on any free port; gives the variables that reach it."""
    command = [*PYTHON, "-m", "aioe2e.testing", "--port", "0", *arguments.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = []
        for line in process.stdout:
            told.append(line)
            if "Ctrl-C" in line:
                break
        try:
            yield dict(re.findall(r"export (E2E_\w+)=(\S+)", "".join(told)))
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def follow(
    steps: list[Piece], folder: Path, variables: dict[str, str], compare: bool
) -> Iterator[str]:
    """Save and run what the page says; gives what each program printed."""
    environment = {**os.environ, **variables}
    for step, after in zip(steps, [*steps[1:], Piece("sh", "", None)], strict=True):
        if step.kind == "python":
            assert step.file is not None, "every program of the tutorial has a name"
            (folder / step.file).write_text(step.text, encoding="utf-8")
        for line in step.lines if step.kind == "sh" else ():
            if match := re.fullmatch(r"python (\w+\.py) & sleep \d+; kill -9 \$!", line):
                kill_when_all_is_sent([*PYTHON, match[1]], folder, environment)
            if match := re.fullmatch(r"python (\w+\.py)", line):
                ended = subprocess.run(
                    [*PYTHON, match[1]],
                    cwd=folder,
                    env=environment,
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=False,
                )
                if compare and after.kind == "text":
                    assert ended.stderr == ""
                    assert ended.stdout == after.text
                yield ended.stdout


def kill_when_all_is_sent(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Kill the job when its journal says that all three saves have ended, as the page tells."""
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE) as job:
        pause = threading.Event()
        while sum(len(path.read_bytes().splitlines()) for path in folder.glob("*.journal")) < 7:
            assert job.poll() is None
            pause.wait(0.01)
        job.kill()
    assert list(folder.glob("saves-*.journal"))


def test_every_step_of_the_tutorial_does_what_the_page_shows(tmp_path: Path) -> None:
    steps = pieces()
    starts = [number for number, step in enumerate(steps) if step.text.startswith(SERVE)]
    assert len(starts) == 3
    calm, slow, stormy = (
        steps[start].text.removeprefix(SERVE).replace("\\\n", "") for start in starts
    )
    with emulator(calm) as variables:
        shown = [*follow(steps[: starts[1]], tmp_path, variables, compare=True)]
        assert len(shown) == 4
        exports = dict(re.findall(r"(E2E_\w+)=(\S+)", "".join(step.text for step in steps)))
        port = re.search(r":(\d+)", variables["E2E_MYACCOUNT_BASE_URL"])
        assert port is not None
        assert exports == {name: told.replace(port[1], "8400") for name, told in variables.items()}
    assert not list(tmp_path.glob("*.journal"))
    with emulator(slow) as variables:
        shown = [*follow(steps[starts[1] : starts[2]], tmp_path, variables, compare=True)]
        assert len(shown) == 1
    with emulator(stormy) as variables:
        [told] = follow(steps[starts[2] :], tmp_path, variables, compare=False)
        assert re.match(r"saved: (3 steps: 3 done|\d of 3 steps did not end well)", told)
