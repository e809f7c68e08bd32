"""The benchmarks run; what they measure is for people to read, and no test depends on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks read POSIX resource counters")
def test_benchmarks_print_a_table_with_every_figure_and_the_conditions() -> None:
    pytest.importorskip("requests", reason="a peer of the benchmarks")
    command = [sys.executable, "-m", "benchmarks", "--quick"]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    header, line, *rest = done.stdout.splitlines()
    assert header.startswith("| what ")
    assert set(line) == {"|", "-"}
    rows = [text for text in rest if text.startswith("|")]
    for subject in (
        "client CPU per call",
        "wall time",
        "engine, per",
        "peak memory",
        "listing of",
        "import",
        "retries",
    ):
        assert any(subject in row for row in rows), subject
    assert f"CPython {sys.version.split()[0]}" in done.stdout or "CPython" not in done.stdout
    assert "aiohttp 3." in done.stdout
    assert "the figures mean nothing" in done.stdout


def test_benchmarks_refuse_a_part_that_there_is_not() -> None:
    pytest.importorskip("requests", reason="a peer of the benchmarks")
    command = [sys.executable, "-m", "benchmarks", "naps"]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "no such part: naps" in done.stderr
