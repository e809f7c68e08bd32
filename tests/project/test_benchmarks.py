"""The benchmarks run; what they measure is for people to read, and no test depends on it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def peers() -> None:
    for name in ("httpx", "pydantic", "requests"):
        pytest.importorskip(name, reason="a peer of the benchmarks")


@pytest.mark.timeout(300)  # they keep a whole core busy for ten seconds: a busy machine takes long
@pytest.mark.skipif(sys.platform == "win32", reason="the benchmarks read POSIX resource counters")
def test_benchmarks_give_every_figure_as_tables_as_json_and_as_a_plot(tmp_path: Path) -> None:
    written, plot = tmp_path / "figures.json", tmp_path / "plot.svg"
    files = ["--json", str(written), "--svg", str(plot)]
    command = [sys.executable, "-m", "benchmarks", "--quick", *files]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=280, check=False
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
    assert any(row.startswith("| calls | limit | aioe2e ") for row in rows)

    figures = json.loads(written.read_text(encoding="utf-8"))
    assert figures["machine"]["packages"]["aiohttp"].startswith("3.")
    assert all(isinstance(row["value"], float) for row in figures["rows"])
    assert len(figures["rows"]) > 20
    assert {"peer", "calls", "limit", "cpu", "memory"} == set(figures["scaling"][0])
    shown = {point["peer"] for point in figures["scaling"]}
    assert shown >= {"aioe2e", "naive aiohttp", "tuned aiohttp", "httpx", "requests in sequence"}

    text = plot.read_text(encoding="utf-8")
    drawn = ElementTree.fromstring(text)
    lines = [element for element in drawn.iter() if element.tag.endswith("}polyline")]
    assert len(lines) == 2 * len(shown)
    assert all(peer in text for peer in shown)
    assert "prefers-color-scheme: dark" in text


def test_benchmarks_refuse_a_part_that_there_is_not() -> None:
    command = [sys.executable, "-m", "benchmarks", "naps"]
    done = subprocess.run(
        command, cwd=PROJECT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert "no such part: naps" in done.stderr
