"""README.md: every block runs, every table is what the code says, and the commands are the promised ones."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from snippets import INDIA, ROOT, run_page, tables, use_in_environment

import aioe2e
from aioe2e.testing import FakeE2E, made_images, made_nodes

README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


@pytest.fixture
def fake() -> Iterator[FakeE2E]:
    with FakeE2E(
        made_images(60, today=datetime.now(INDIA)), made_nodes(3), save_seconds=0.0
    ) as fake:
        yield fake


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake: FakeE2E) -> dict[str, Any]:
    """The names that the blocks of the README leave behind."""
    monkeypatch.chdir(tmp_path)
    use_in_environment(monkeypatch, fake)
    return run_page(README, fake)


def test_every_python_block_runs_and_does_what_the_text_around_it_says(
    left: dict[str, Any], fake: FakeE2E
) -> None:
    assert (
        left["report"].counts()[aioe2e.Status.FAILED] == 1
    )  # the image of the block on errors that does not exist
    done = [(entry.action, entry.target, entry.name) for entry in fake.ledger]
    assert done[0] == ("save", "32203", "nightly-1")
    assert done[1] == ("rename", fake.ledger[0].image_id, "golden")
    assert done[2][:2] == ("delete", "26318")
    assert not any(image["name"].startswith("ci-") for image in fake.images.values())


def test_the_service_of_the_readme_answers(left: dict[str, Any], fake: FakeE2E) -> None:

    async def ask() -> tuple[int, Any, int]:
        runner = web.AppRunner(left["app"])
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        image = next(iter(fake.images))
        try:
            async with aiohttp.ClientSession(
                f"http://127.0.0.1:{runner.addresses[0][1]}"
            ) as client:
                async with client.get(f"/images/{image}") as found:
                    shown = await found.json()
                async with client.get("/images/1") as absent:
                    return found.status, shown, absent.status
        finally:
            await runner.cleanup()

    status, shown, absent = asyncio.run(ask())
    assert (status, shown["state"], absent) == (200, "READY", 404)


def test_the_tables_are_what_the_code_says_today() -> None:
    # To write them anew: python docs/tables.py
    assert tables().with_tables(TEXT) == TEXT


def test_the_two_commands_stand_there_word_for_word() -> None:
    blocks = re.findall(r"^```sh\n(.*?)\n```$", TEXT, re.DOTALL | re.MULTILINE)
    assert blocks == [
        "python -m pip install . && python -m aioe2e demo",
        "python -m pip install nox && python -m nox -s tests",
    ]


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = re.search(r"^```text\n(E2EError\n.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)
    assert tree is not None
    bases = [aioe2e.E2EError]
    listed = {"E2EError"}
    for line in tree[1].splitlines()[1:]:
        match = re.match(r"([│ ]*)[├└]── (\w+)(?: \((\w+)\))?", line)
        assert match is not None, line
        depth = len(match[1]) // 4 + 1
        error = getattr(aioe2e, match[2])
        assert error.__bases__[0] is bases[depth - 1]
        assert match[3] is None or match[3] in {base.__name__ for base in error.__mro__[1:]}
        bases[depth:] = [error]
        listed.add(match[2])
    assert listed == {name for name in aioe2e.__all__ if name.endswith("Error")}


def test_the_place_for_benchmark_figures_is_marked() -> None:
    assert TEXT.count("<!-- bench:start -->") == TEXT.count("<!-- bench:end -->") == 1
    assert TEXT.index("<!-- bench:start -->") < TEXT.index("<!-- bench:end -->")
