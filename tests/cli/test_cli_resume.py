"""Going on with what was interrupted or failed in part."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_account import Account, Ran, opened

import aioe2e
from aioe2e.testing import FakeE2E

ALL = ("images", "delete", "--match", "*", "--yes")
TODAY = f"{datetime.now(UTC):%Y%m%d}"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    fake = FakeE2E(images=40, nodes=25, save_seconds=0.02)
    yield from opened(monkeypatch, tmp_path, fake)


def resume(account: Account, *words: str) -> Ran:
    (journal,) = account.journals
    return account.run("images", "resume", journal.name, *words)


def test_what_was_never_sent_is_sent(account: Account) -> None:
    account.fake.inject("412-json", "delete", target="26318")
    stopped = account.run(*ALL, "--limit", "1", "--on-error", "stop")
    assert stopped.code == 1
    before = account.writes
    ran = resume(account, "--yes")
    assert ran.code == 1  # the refusal was for good
    assert set(account.fake.images) == {"26318"}
    assert account.writes > before
    assert "39 deleted, 1 failed" in ran.err


def test_when_all_is_done_nothing_is_left_behind(account: Account) -> None:
    account.fake.inject("503-json", "delete", target="26318", times=4)
    first = account.run(*ALL, "--timeout", "0.2")
    assert first.code in (1, 6)
    ran = resume(account, "--yes", "--json")
    assert ran.code == 0
    assert ran.json["action"] == "delete"
    assert ran.json["counts"]["done"] == 40
    assert len(ran.items) == 40
    assert account.fake.images == {}
    assert list((account.state / "aioe2e").iterdir()) == []


def test_it_asks_as_the_command_did(account: Account) -> None:
    account.fake.inject("412-json", "delete")
    account.run(*ALL, "--limit", "1", "--on-error", "stop")
    before = account.writes
    assert resume(account).code == 2
    assert resume(account, "--dry-run").code == 0
    assert account.writes == before


def test_a_save_that_may_have_been_carried_out_is_not_sent_again(account: Account) -> None:
    node = next(iter(account.fake.nodes))
    account.fake.inject("hang", "save", target=node)
    words = ("images", "save", "--all", "--name", "n-{id}", "-y", "--timeout", "1.5")
    assert account.run(*words).code == 6
    ran = resume(account, "--yes")
    assert ran.code == 6
    saved = [entry for entry in account.fake.ledger if entry.action == "save"]
    assert len(saved) == 24


def test_images_of_all_runs_are_waited_for(account: Account) -> None:
    node = next(iter(account.fake.nodes))
    account.fake.inject("412-json", "save", target=node)
    words = ("images", "save", "--all", "--name", "n-{id}", "-y", "--wait", "--interval", "0.01")
    assert account.run(*words).code == 1
    ran = resume(account, "--yes", "--interval", "0.01", "--json")
    assert ran.code == 1
    ready = [item for item in ran.items if "image" in item]
    assert len(ready) == 24
    assert "24 ready" in ran.err


def test_the_account_of_the_command_is_remembered(account: Account) -> None:
    account.fake.inject("412-json", "delete")
    account.run(*ALL, "--limit", "1", "--on-error", "stop", "--project-id", "12345")
    (journal,) = account.journals
    remembered = json.loads(Path(f"{journal}.command").read_text())
    assert remembered["account"]["project_id"] == "12345"
    assert account.fake.url in remembered["account"]["base_url"]
    assert account.fake.credentials.api_key not in Path(f"{journal}.command").read_text()


def test_a_journal_of_the_library_will_do(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "mine.journal"

    async def stopped() -> None:
        async with account.fake.session() as session:
            plan = aioe2e.Plan.delete(list(account.fake.images))
            stream = session.images.stream(plan, limit=1, journal=file)
            async with stream:
                async for _ in stream:
                    break

    import asyncio  # noqa: PLC0415  # for this test alone

    asyncio.run(stopped())
    assert account.run("images", "resume", str(file), "--yes").code == 0
    assert account.fake.images == {}


def test_what_is_no_journal_is_refused(account: Account, tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("something else\n")
    assert account.run("images", "resume", str(file)).code == 2
    assert file.read_text() == "something else\n"
    ran = account.run("images", "resume", "missing")
    assert ran.code == 2
    assert "there is no journal" in ran.err


def test_without_a_name_the_journals_are_listed(account: Account) -> None:
    account.fake.inject("412-json", "delete")
    account.run(*ALL)
    (journal,) = account.journals
    ran = account.run("images", "resume")
    assert ran.code == 2
    assert journal.name in ran.err


def test_a_damaged_note_beside_a_journal_is_refused(account: Account) -> None:
    account.fake.inject("412-json", "delete")
    account.run(*ALL, "--limit", "1", "--on-error", "stop")
    (journal,) = account.journals
    Path(f"{journal}.command").write_text('{"version": 99}')
    ran = resume(account, "--yes")
    assert ran.code == 4
    assert "version 99" in ran.err


def test_a_rotation_goes_on_to_the_deleting(account: Account) -> None:
    spare = iter(list(account.fake.images))
    bad, node = list(account.fake.nodes)[:2]
    start = f"n-{account.fake.nodes[node]['name']}-2"

    def kept() -> set[str]:
        names = {image["name"] for image in account.fake.images.values()}
        return {name for name in names if name.startswith(start)}

    for age in (3, 2, 1):
        made = datetime.now(UTC) - timedelta(days=age)
        image = account.fake.images[next(spare)]
        image["name"] = f"{start[:-1]}{made:%Y%m%d}"
        image["creation_time"] = f"{made:%Y-%m-%dT%H:%M:%SZ}"
    account.fake.inject("412-json", "save", target=bad)
    words = ("images", "rotate", "--all", "--name", "n-{node}-{date}", "--keep", "2", "--yes")
    first = account.run(*words, "--limit", "1", "--on-error", "stop", "--interval", "0.01")
    assert first.code == 1
    assert len(kept()) == 3  # nothing saved yet, nothing deleted
    ran = resume(account, "--yes", "--interval", "0.01")
    assert ran.code == 1  # the one node was refused for good
    assert len(kept()) == 2
    assert f"{start[:-1]}{TODAY}" in kept()
