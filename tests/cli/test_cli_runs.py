"""How changes run: journals, what is kept and removed, faults, progress, colours, secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_account import Account, opened

from aioe2e.testing import FakeE2E


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    yield from opened(monkeypatch, tmp_path)


ALL = ("images", "delete", "--match", "*", "--yes")


class TestJournals:
    def test_a_run_of_many_steps_keeps_one_until_it_is_done(self, account: Account) -> None:
        assert account.run(*ALL).code == 0
        assert list(account.state.rglob("*")) == [account.state / "aioe2e"]

    def test_a_failure_keeps_it_and_says_where(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        ran = account.run(*ALL)
        assert ran.code == 1
        (journal,) = account.journals
        assert f"Journal: {journal}" in ran.err
        assert "Next step" not in ran.err  # a refusal for good: nothing is left to resume

    def test_what_is_left_is_named_as_the_next_step(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        ran = account.run(*ALL, "--limit", "1", "--on-error", "stop")
        (journal,) = account.journals
        assert f"Next step: aioe2e images resume {journal.name}" in ran.err

    def test_it_is_for_its_owner_alone(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        account.run(*ALL)
        for path in (account.state / "aioe2e").iterdir():
            assert path.stat().st_mode & 0o077 == 0
        assert (account.state / "aioe2e").stat().st_mode & 0o077 == 0

    def test_few_steps_keep_none(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        account.run("images", "delete", "26318", "26326", "-y")
        assert account.journals == []

    def test_none_is_kept_where_none_is_wanted(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        account.run(*ALL, "--no-journal")
        assert not (account.state / "aioe2e").exists()

    def test_it_is_kept_where_it_is_wanted(self, account: Account, tmp_path: Path) -> None:
        account.fake.inject("412-json", "delete")
        file = tmp_path / "my.journal"
        ran = account.run("images", "delete", "26318", "-y", "--journal", str(file))
        assert file.exists()
        assert f"Journal: {file}" in ran.err
        again = account.run("images", "delete", "26326", "-y", "--journal", str(file))
        assert again.code == 2
        assert "resume" in again.err
        assert "26326" in account.fake.images

    def test_where_none_can_be_kept_nothing_is_sent(self, account: Account) -> None:
        (account.state / "aioe2e").write_text("in the way")
        ran = account.run(*ALL)
        assert ran.code == 4
        assert "--no-journal" in ran.err
        assert account.writes == 0

    def test_no_secret_is_in_one(self, account: Account) -> None:
        account.fake.inject("echo-plain-400", "delete")
        account.run(*ALL)
        found = "".join(path.read_text() for path in (account.state / "aioe2e").iterdir())
        assert account.fake.credentials.api_key not in found
        assert str(account.fake.credentials.auth_token) not in found


class TestFaults:
    def test_a_lost_reply_is_settled_from_the_listing(self, account: Account) -> None:
        account.fake.inject("reset", "delete", times=3)
        ran = account.run(*ALL, "-o", "jsonl")
        assert ran.code == 0
        assert {json.loads(line)["status"] for line in ran.lines} == {"done"}
        assert len(ran.lines) == 40

    def test_what_cannot_be_known_is_unknown_and_beats_failures(self, account: Account) -> None:
        one, two = list(account.fake.nodes)[:2]
        account.fake.inject("hang", "save", target=one)
        account.fake.inject("412-json", "save", target=two)
        words = ("images", "save", "--all", "--name", "n-{node}", "-y", "--timeout", "1.5")
        ran = account.run(*words, "--json", "--journal", str(account.state / "mine"))
        assert ran.code == 6
        assert (ran.json["counts"]["unknown"], ran.json["counts"]["failed"]) == (1, 1)
        assert "unknown:" in ran.err
        assert "images resume" in ran.err

    def test_the_first_failure_stops_a_run_that_is_to_stop(self, account: Account) -> None:
        account.fake.inject("412-json", "delete")
        ran = account.run(*ALL, "--on-error", "stop", "--limit", "1", "--json")
        assert ran.code == 1
        assert ran.json["counts"] == {
            "done": 0,
            "failed": 1,
            "skipped": 39,
            "unchanged": 0,
            "unknown": 0,
        }

    def test_the_deadline_ends_a_run(self, account: Account) -> None:
        account.fake.inject("hang", "delete", times=40)
        ran = account.run(*ALL, "--deadline", "0.3", "--timeout", "0.2", "--limit", "2")
        assert ran.code in (1, 6)
        assert "skipped" in ran.err

    @pytest.mark.parametrize("form", ["json", "jsonl"])
    def test_a_delete_that_is_verified_is_done_when_the_listing_shows_it(
        self, account: Account, form: str
    ) -> None:
        ran = account.run(*ALL, "--verify", "-o", form)
        assert ran.code == 0, ran.err
        assert account.fake.images == {}
        assert ran.out.count('"status"') == 40


class TestScreen:
    def test_a_bar_moves_on_a_terminal_only(self, account: Account) -> None:
        assert "Deleting" not in account.run(*ALL).err

    def test_bars_are_drawn_on_stderr(self, account: Account) -> None:
        ran = account.run(*ALL, answer="")
        assert "Deleting" in ran.err
        assert "40/40" in ran.err
        assert "Deleting" not in ran.out

    @pytest.mark.parametrize(
        ("environ", "words"),
        [({"TERM": "dumb"}, ()), ({}, ("--no-progress",))],
        ids=["dumb", "no-progress"],
    )
    def test_there_is_no_bar_where_none_can_be_or_is_wanted(
        self, account: Account, environ: dict[str, str], words: tuple[str, ...]
    ) -> None:
        ran = account.run(*ALL, *words, answer="", environ=environ)
        assert "Deleting" not in ran.err

    @pytest.mark.parametrize(
        ("environ", "words", "terminal", "coloured"),
        [
            ({}, (), True, True),
            ({}, (), False, False),
            ({"NO_COLOR": "1"}, (), True, False),
            ({"TERM": "dumb"}, (), True, False),
            ({"FORCE_COLOR": "1"}, (), False, True),
            ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, (), False, False),
            ({"NO_COLOR": "1"}, ("--color", "always"), False, True),
            ({"FORCE_COLOR": "1"}, ("--color=never",), True, False),
        ],
    )
    def test_colours_are_written_where_they_are_wanted(
        self,
        account: Account,
        environ: dict[str, str],
        words: tuple[str, ...],
        terminal: bool,
        coloured: bool,
    ) -> None:
        answer = "" if terminal else None
        ran = account.run("images", "list", *words, answer=answer, environ=environ)
        assert ("\x1b[" in ran.out) is coloured
        missing = account.run("images", "get", "1", *words, answer=answer, environ=environ)
        assert ("\x1b[" in missing.err) is coloured

    def test_requests_are_shown_and_no_secret_with_them(self, account: Account) -> None:
        account.fake.inject("echo-plain-400", "delete")
        account.fake.inject("echo-percent-500", "list")
        ran = account.run("images", "delete", "26318", "26326", "-y", "-v", "--json")
        assert "GET images/saved-images/ 500" in ran.err
        assert "(attempt 2)" in ran.err
        for secret in (account.fake.credentials.api_key, str(account.fake.credentials.auth_token)):
            assert secret not in ran.err + ran.out

    def test_a_terminal_shows_of_many_outcomes_what_went_wrong(self, account: Account) -> None:
        account.fake.inject("412-json", "delete", target="26318")
        ran = account.run(*ALL, answer="")
        assert [line.split()[0] for line in ran.lines[1:]] == ["26318"]
        assert "39 deleted, 1 failed" in ran.err


def test_a_limit_above_that_of_a_session_is_reached_and_needs_no_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    slow = FakeE2E(images=40, latency=0.3)
    for account in opened(monkeypatch, tmp_path, slow):
        ran = account.run(
            "images", "rename", "--match", "*", "--to", "x-{name}", "-y", "--limit", "40"
        )
        assert ran.code == 0
        assert "in_flight" not in ran.err
        assert 16 < account.fake.max_in_flight <= 40
