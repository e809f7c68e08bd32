"""README.md: every block runs, every link works anywhere, and the commands are the promised ones."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from snippets import INDIA, ROOT, run_page, use_in_environment

from aioe2e.__main__ import main
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
    assert left["report"].ok
    assert len(left["report"]) > 0
    done = [(entry.action, entry.target, entry.name) for entry in fake.ledger]
    assert done[0] == ("save", "32203", "before-upgrade")
    assert done[1] == ("rename", fake.ledger[0].image_id, "golden")
    assert done[2][:2] == ("delete", "26318")
    swept = [entry for entry in fake.ledger if entry.action == "delete"][1:]
    assert len(swept) == len(left["report"])
    names = {str(image["image_id"]): image["name"] for image in made_images(60)}
    assert {names[str(entry.target)].partition("-")[0] for entry in swept} == {"ci"}


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


def test_the_two_commands_stand_there_word_for_word() -> None:
    blocks = re.findall(r"^```sh\n(.*?)\n```$", TEXT, re.DOTALL | re.MULTILINE)
    assert "python -m pip install . && python -m aioe2e demo" in blocks
    assert "python -m pip install nox && python -m nox -s tests" in blocks


@pytest.mark.parametrize("line", re.findall(r"^aioe2e .*$", TEXT, re.MULTILINE))
def test_every_command_runs_on_an_emulated_account(
    line: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake: FakeE2E
) -> None:
    pytest.importorskip("cyclopts", reason="the extra of the command line")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    use_in_environment(monkeypatch, fake)
    monkeypatch.setenv("E2E_MYACCOUNT_BASE_URL", fake.url)
    assert main(shlex.split(line)[1:]) == 0


def test_it_is_no_longer_than_a_few_screens_and_says_first_what_matters_most() -> None:
    lines = TEXT.splitlines()
    assert len(lines) <= 180
    first_screen = "\n".join(lines[:50])
    for words in ("Beta", "never run it against the live API", "pip install", "images.delete("):
        assert words in first_screen


def test_its_links_work_wherever_it_is_shown() -> None:
    # On a package index there is no other file of the project.
    targets = re.findall(r"\]\(([^)\s]+)\)", TEXT)
    assert [target for target in targets if not re.match(r"https://|#", target)] == []
    titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
    assert {target[1:] for target in targets if target.startswith("#")} <= anchors
