"""Nodes, saves of them, and the rotation, in-process against the emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cli_account import Account, Ran, opened

import aioe2e
from aioe2e.testing import FakeE2E

TODAY = f"{datetime.now(UTC):%Y%m%d}"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    yield from opened(monkeypatch, tmp_path)


def names(account: Account) -> list[str]:
    return [image["name"] for image in account.fake.images.values()]


def node_names(account: Account) -> dict[str, str]:
    return {id_: node["name"] for id_, node in account.fake.nodes.items()}


class TestNodes:
    def test_they_are_listed_by_name(self, account: Account) -> None:
        ran = account.run("nodes", "list", "--json")
        assert [node["name"] for node in ran.items] == sorted(node_names(account).values())
        assert aioe2e.Node.from_dict(ran.items[0]).node_id == ran.items[0]["node_id"]
        assert set(account.run("node", "list", "-q").lines) == set(account.fake.nodes)
        assert account.run("nodes", "list").lines[0].startswith("ID ")

    def test_names_select_them(self, account: Account) -> None:
        assert account.run("nodes", "list", "-q", "--match", "web-*").lines == [
            id_ for id_, name in node_names(account).items() if name.startswith("web-")
        ]
        assert "no nodes" in account.run("nodes", "list", "--match", "x").err

    def test_one_is_found_by_id_and_by_name(self, account: Account) -> None:
        id_, name = next(iter(node_names(account).items()))
        assert account.run("nodes", "get", id_, "--json").items[0]["name"] == name
        assert account.run("nodes", "get", name, "-q").lines == [id_]
        assert account.run("nodes", "get", "no-such-node").code == 1
        assert account.run("nodes", "get", "1").code == 1


class TestSave:
    def test_a_node_is_saved_by_name_without_a_question(self, account: Account) -> None:
        name = next(iter(node_names(account).values()))
        ran = account.run("images", "save", name, "golden")
        assert ran.code == 0
        assert names(account).count("golden") == 1

    def test_with_wait_the_image_is_ready_and_its_id_is_known(self, account: Account) -> None:
        node = next(iter(account.fake.nodes))
        words = ("images", "save", node, "golden", "--wait", "--interval", "0.01")
        ran = account.run(*words, "--json")
        assert ran.code == 0
        assert ran.items[0]["image"]["state"] == "READY"
        assert ran.items[0]["image"]["name"] == "golden"
        assert account.fake.images[ran.items[0]["image"]["image_id"]]["name"] == "golden"
        assert "1 ready" in ran.err

    def test_all_are_saved_by_a_template(self, account: Account) -> None:
        words = ("images", "save", "--all", "--name", "n-{node}-{id}-{date}")
        assert account.run(*words).code == 2  # more than one: a question
        assert account.writes == 0
        assert account.run(*words, "--yes").code == 0
        wanted = {f"n-{name}-{id_}-{TODAY}" for id_, name in node_names(account).items()}
        assert wanted <= set(names(account))

    def test_nodes_and_names_come_from_lines(self, account: Account) -> None:
        one, two = list(account.fake.nodes)[:2]
        text = f"{one} first\n{node_names(account)[two]} second\n"
        assert account.run("images", "save", "--from", "-", "-y", stdin=text).code == 0
        assert {"first", "second"} <= set(names(account))

    def test_quiet_of_nodes_feeds_from(self, account: Account) -> None:
        listed = account.run("nodes", "list", "-q")
        words = ("images", "save", "--from", "-", "--name", "x-{node}", "-y", "-q")
        ran = account.run(*words, "--wait", "--interval", "0.01", stdin=listed.out)
        assert ran.code == 0
        assert {account.fake.images[id_]["name"] for id_ in ran.lines} == {
            f"x-{name}" for name in node_names(account).values()
        }

    def test_a_dry_run_is_a_plan_that_from_takes(self, account: Account) -> None:
        words = ("images", "save", "--all", "--name", "n-{node}", "--dry-run", "--json")
        planned = account.run(*words)
        assert account.writes == 0
        assert account.run("images", "save", "--from", "-", "-y", stdin=planned.out).code == 0
        assert account.writes == len(account.fake.nodes)

    def test_outcomes_of_saves_never_name_nodes_to_a_delete(self, account: Account) -> None:
        words = ("images", "save", "--all", "-y", "-o", "jsonl", "--name")
        saved = account.run(*words, "n-{node}")
        ran = account.run("images", "delete", "--from", "-", "-y", stdin=saved.out)
        assert ran.code == 2
        assert "image_id" in ran.err
        waited = account.run(*words, "m-{node}", "--wait", "--interval", "0.01").out
        before = account.writes
        assert account.run("images", "delete", "--from", "-", "-y", stdin=waited).code == 0
        assert account.writes == before + len(account.fake.nodes)

    def test_an_image_that_turns_out_bad_is_a_failure(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        fake = FakeE2E(images=3, nodes=2, save_seconds=0.02, save_result="Error")
        for account in opened(monkeypatch, tmp_path, fake):
            words = ("images", "save", "--all", "--name", "n-{node}", "-y", "--wait")
            ran = account.run(*words, "--interval", "0.01", "--json")
            assert ran.code == 1
            assert ran.json["ok"] is False
            assert "ImageFailedError" in ran.items[0]["wait_error"]["type"]
            assert "not ready:" in ran.err

    @pytest.mark.parametrize(
        "words",
        [
            ["golden"],
            ["--all"],
            ["--all", "--name", "{nod}"],
            ["1", "golden", "--all"],
            [],
        ],
    )
    def test_half_a_command_is_refused(self, account: Account, words: list[str]) -> None:
        assert account.run("images", "save", *words).code == 2
        assert account.writes == 0


class TestRotate:
    WORDS = ("images", "rotate", "--all", "--name", "nightly-{node}-{date}", "--interval", "0.01")

    @pytest.fixture
    def nightly(self, account: Account) -> Account:
        """Each node has five nightly images, the oldest ten days old; and one by hand."""
        spare = iter(list(account.fake.images))
        for node in node_names(account).values():
            for age in (10, 4, 3, 2, 1):
                made = datetime.now(UTC) - timedelta(days=age)
                image = account.fake.images[next(spare)]
                image["name"] = f"nightly-{node}-{made:%Y%m%d}"
                image["creation_time"] = f"{made:%Y-%m-%dT%H:%M:%SZ}"
                image["os_distribution"] = image["name"]
            account.fake.images[next(spare)]["name"] = f"nightly-{node}-by-hand"
        return account

    def rotate(self, account: Account, *words: str) -> Ran:
        return account.run(*self.WORDS, *words)

    def kept(self, account: Account, node: str) -> list[str]:
        start = f"nightly-{node}-2"
        return sorted(name for name in names(account) if name.startswith(start))

    def test_nodes_are_saved_and_what_is_too_many_goes(self, nightly: Account) -> None:
        before = set(nightly.fake.images)
        ran = self.rotate(nightly, "--keep", "3", "--yes")
        assert ran.code == 0, ran.err
        for node in node_names(nightly).values():
            assert len(self.kept(nightly, node)) == 3
            assert f"nightly-{node}-{TODAY}" in names(nightly)
            assert f"nightly-{node}-by-hand" in names(nightly)
        gone = before - set(nightly.fake.images)
        assert len(gone) == 3 * len(nightly.fake.nodes)

    def test_it_asks_once_for_both(self, nightly: Account) -> None:
        ran = nightly.run(*self.WORDS, "--keep", "3", answer="n\n")
        assert ran.code == 2
        assert "Save 5 nodes, then delete 15 images (" in ran.err
        assert nightly.writes == 0
        assert nightly.run(*self.WORDS, "--keep", "3").code == 2
        assert nightly.writes == 0

    def test_a_dry_run_shows_both_and_does_nothing(self, nightly: Account) -> None:
        ran = self.rotate(nightly, "--keep", "3", "--dry-run", "--json")
        actions = [item["action"] for item in ran.items]
        assert actions == ["save"] * 5 + ["delete"] * 15
        assert nightly.writes == 0

    def test_a_second_start_saves_nothing_twice(self, nightly: Account) -> None:
        self.rotate(nightly, "--keep", "3", "--yes")
        before = nightly.writes
        ran = self.rotate(nightly, "--keep", "3", "--yes")
        assert ran.code == 0
        assert "nothing to do" in ran.err
        assert nightly.writes == before
        ran = nightly.run(*self.WORDS, "--keep", "2", answer="n\n")
        assert "Delete 5 images (" in ran.err

    def test_where_nothing_is_too_many_the_question_says_so(self, nightly: Account) -> None:
        ran = nightly.run(*self.WORDS, "--keep", "9", answer="n\n")
        assert "Save 5 nodes? Nothing is deleted." in ran.err

    def test_an_image_that_is_being_made_is_waited_for_and_not_saved_again(
        self, nightly: Account
    ) -> None:
        for id_ in nightly.fake.nodes:
            name = f"nightly-{node_names(nightly)[id_]}-{TODAY}"
            assert nightly.run("images", "save", id_, name).code == 0
        before = nightly.writes
        assert self.rotate(nightly, "--keep", "3", "--yes").code == 0
        assert nightly.writes == before + 15

    def test_nothing_of_a_node_is_deleted_whose_save_failed(self, nightly: Account) -> None:
        bad = next(iter(nightly.fake.nodes))
        nightly.fake.inject("412-json", "save", target=bad)
        ran = self.rotate(nightly, "--keep", "3", "--yes")
        assert ran.code == 1
        assert f"nothing is deleted of {node_names(nightly)[bad]}" in ran.err
        for id_, node in node_names(nightly).items():
            assert len(self.kept(nightly, node)) == (5 if id_ == bad else 3)

    def test_without_groups_of_nodes_one_failed_save_keeps_everything(
        self, nightly: Account
    ) -> None:
        nightly.fake.inject("412-json", "save")
        ran = self.rotate(nightly, "--keep", "3", "--per", "none", "--yes")
        assert ran.code == 1
        assert {entry.action for entry in nightly.fake.ledger} == {"save"}

    def test_only_nodes_that_are_named_are_rotated(self, nightly: Account) -> None:
        id_, node = next(iter(node_names(nightly).items()))
        words = ("images", "rotate", node, *self.WORDS[3:], "--keep", "1", "--yes")
        assert nightly.run(*words).code == 0
        assert self.kept(nightly, node) == [f"nightly-{node}-{TODAY}"]
        others = [name for other, name in node_names(nightly).items() if other != id_]
        assert all(len(self.kept(nightly, other)) == 5 for other in others)

    def test_an_image_in_use_stays_and_so_does_what_a_filter_leaves_out(
        self, nightly: Account
    ) -> None:
        node = next(iter(node_names(nightly).values()))
        oldest = self.kept(nightly, node)[0]
        for image in nightly.fake.images.values():
            if image["name"] == oldest:
                image["running_vms"] = 1
        assert self.rotate(nightly, "--keep", "1", "--older-than", "7d", "--yes").code == 0
        assert oldest in names(nightly)
        other = list(node_names(nightly).values())[1]
        assert len(self.kept(nightly, other)) == 5  # the new one, and those of the last days

    def test_json_lines_have_saves_and_deletions(self, nightly: Account) -> None:
        ran = self.rotate(nightly, "--keep", "3", "--yes", "-o", "jsonl")
        found = [json.loads(line)["step"]["action"] for line in ran.lines]
        assert sorted(found) == ["delete"] * 15 + ["save"] * 5

    def test_the_table_has_both(self, nightly: Account) -> None:
        ran = self.rotate(nightly, "--keep", "3", "--yes")
        assert len(ran.lines) == 21
        assert ran.lines[0].split()[0] == "ACTION"

    @pytest.mark.parametrize(
        "words",
        [
            ["--all", "--name", "nightly-{node}-{date}"],
            ["--all", "--name", "nightly-{node}-{date}", "--keep", "0"],
            ["--all", "--name", "nightly-{node}", "--keep", "3"],
            ["--all", "--name", "nightly-{date}", "--keep", "3"],
            ["--all", "--keep", "3"],
            ["--name", "nightly-{node}-{date}", "--keep", "3"],
        ],
    )
    def test_half_a_rotation_is_refused(self, account: Account, words: list[str]) -> None:
        ran = account.run("images", "rotate", *words, "--yes")
        assert ran.code == 2
        assert account.writes == 0
