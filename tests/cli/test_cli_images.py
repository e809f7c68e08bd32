"""The commands for images, in-process against the emulator: what they print and what they do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cli_account import Account, opened

import aioe2e


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    yield from opened(monkeypatch, tmp_path)


def ids(account: Account, prefix: str = "") -> list[str]:
    return [id_ for id_, image in account.fake.images.items() if image["name"].startswith(prefix)]


class TestList:
    def test_a_table_has_a_header_and_a_line_for_each_image(self, account: Account) -> None:
        ran = account.run("images", "list")
        assert ran.code == 0
        assert ran.err == ""
        assert ran.lines[0].split("  ")[0] == "ID"
        assert len(ran.lines) == 41

    def test_json_has_the_names_of_the_library_in_sorted_keys(self, account: Account) -> None:
        ran = account.run("images", "list", "--json")
        assert ran.json["action"] == "list"
        first = ran.items[0]
        assert list(first) == sorted(first)
        assert aioe2e.SavedImage.from_dict(first).image_id == first["image_id"]
        assert {"image_id", "name", "state", "size_gb", "in_use", "creation_time"} <= set(first)

    def test_json_lines_are_an_image_each(self, account: Account) -> None:
        ran = account.run("images", "list", "-o", "jsonl")
        assert {json.loads(line)["image_id"] for line in ran.lines} == set(account.fake.images)

    def test_quiet_prints_ids_alone(self, account: Account) -> None:
        assert set(account.run("images", "list", "-q").lines) == set(account.fake.images)

    def test_the_newest_come_first_and_other_orders_can_be_had(self, account: Account) -> None:
        def dates(*words: str) -> list[datetime]:
            items = account.run("images", "list", "--json", *words).items
            return [datetime.fromisoformat(item["creation_time"]) for item in items]

        assert dates() == sorted(dates(), reverse=True)
        names = [i["name"] for i in account.run("images", "list", "--json", "--sort", "name").items]
        assert names == sorted(names)
        sizes = [
            i["size_gb"] for i in account.run("images", "list", "--json", "--sort", "size").items
        ]
        assert sizes == sorted(sizes, reverse=True)

    def test_filters_are_those_of_select(self, account: Account) -> None:
        account.fake.images["26318"]["running_vms"] = 1
        found = account.run("images", "list", "-q", "--match", "web-*", "--not-in-use").lines
        assert set(found) == set(ids(account, "web-")) - {"26318"}
        newest = account.run("images", "list", "-q", "--match", "web-*").lines[:2]
        rest = account.run("images", "list", "-q", "--match", "web-*", "--keep", "2").lines
        assert set(rest) == set(ids(account, "web-")) - set(newest)

    def test_ages_split_the_images_in_two(self, account: Account) -> None:
        older = set(account.run("images", "list", "-q", "--older-than", "365d").lines)
        newer = set(account.run("images", "list", "-q", "--newer-than", "365d").lines)
        assert older | newer == set(account.fake.images)
        assert not older & newer

    @pytest.mark.parametrize("option", ["--older-than", "--newer-than"])
    def test_a_wrong_age_is_refused_with_the_name_of_its_option(
        self, account: Account, option: str
    ) -> None:
        ran = account.run("images", "list", option, "banana")
        assert ran.code == 2
        assert f"{option}: a time such as" in ran.err
        assert "'banana'" in ran.err

    def test_an_image_without_a_date_is_neither_old_nor_new(self, account: Account) -> None:
        account.fake.images["26318"]["creation_time"] = ""
        for option in ("--older-than", "--newer-than"):
            assert "26318" not in account.run("images", "list", "-q", option, "1d").lines

    def test_keep_counts_in_groups(self, account: Account) -> None:
        ran = account.run("images", "list", "--json", "--keep", "1", "--per", "distro")
        distros = {image["distro"] for image in account.fake.images.values()}
        assert len(ran.items) == len(account.fake.images) - len(distros)
        ran = account.run("images", "list", "-q", "--keep", "1", "--per", "name:-20")
        servers = {image["name"].partition("-20")[0] for image in account.fake.images.values()}
        assert len(ran.lines) == len(account.fake.images) - len(servers)

    def test_columns_are_chosen_by_the_names_that_json_has(self, account: Account) -> None:
        ran = account.run("images", "list", "--columns", "name,distro", "--no-headers")
        assert len(ran.lines) == 40
        assert all(len(line.split("  ", 1)) == 2 for line in ran.lines)

    def test_an_unknown_column_is_named_with_the_nearest(self, account: Account) -> None:
        ran = account.run("images", "list", "--columns", "nme")
        assert ran.code == 2
        assert "did you mean name" in ran.err

    def test_nothing_found_is_said_and_is_fine(self, account: Account) -> None:
        ran = account.run("images", "list", "--match", "nothing-*")
        assert (ran.code, ran.out) == (0, "")
        assert "none of 40 images" in ran.err
        assert account.run("images", "list", "--match", "nothing-*", "--json").items == []

    def test_names_cannot_act_on_a_terminal(self, account: Account) -> None:
        account.fake.images["26318"]["name"] = "evil\x1b[2J\u202ename"
        ran = account.run("images", "list", answer="")
        assert "\x1b[2J" not in ran.out
        assert "\u202e" not in ran.out
        assert r"\x1b[2J" in ran.out

    def test_off_a_terminal_nothing_is_cut(self, account: Account) -> None:
        name = "x" * 200
        account.fake.images["26318"]["name"] = name
        assert name in account.run("images", "list").out
        assert name not in account.run("images", "list", answer="").out

    def test_several_locations_are_listed_side_by_side(self, account: Account) -> None:
        words = ("images", "list", "--location", "Delhi", "--location", "Mumbai")
        ran = account.run(*words, "--json")
        assert {item["location"] for item in ran.items} <= {"Delhi", "Mumbai"}
        assert len(ran.items) >= 40
        assert account.run(*words).lines[0].startswith("LOCATION")

    def test_a_location_that_fails_is_named_and_the_others_are_listed(
        self, account: Account
    ) -> None:
        account.fake.inject("403-json", "list", times=1)
        words = ("images", "list", "--location", "Delhi", "--location", "Mumbai", "--json")
        ran = account.run(*words)
        assert ran.code == 3
        (failed,) = [place for place in ("Delhi", "Mumbai") if f"Error: {place}: " in ran.err]
        assert failed not in {item["location"] for item in ran.items}

    def test_only_a_list_takes_more_than_one_location(self, account: Account) -> None:
        words = ("images", "delete", "26318", "-y", "--location", "Delhi", "--location", "Mumbai")
        assert account.run(*words).code == 2
        assert account.writes == 0


class TestGet:
    def test_an_image_is_found_by_id_and_by_name(self, account: Account) -> None:
        name = account.fake.images["26318"]["name"]
        by_id = account.run("images", "get", "26318", "--json")
        by_name = account.run("images", "get", name, "--json")
        assert by_id.json == by_name.json
        assert by_id.json["action"] == "get"
        assert by_id.items[0]["name"] == name

    def test_a_table_has_a_line_for_each_field(self, account: Account) -> None:
        lines = account.run("image", "get", "26318").lines
        assert {"image_id  ", "state  "} <= {line[: line.index(" ") + 2] for line in lines}

    def test_what_is_not_there_is_an_error_with_a_next_step(self, account: Account) -> None:
        ran = account.run("images", "get", "1")
        assert ran.code == 1
        assert ran.err.startswith("Error: ")
        assert "Next step: " in ran.err
        assert account.run("images", "get", "no-such-name").code == 1

    def test_a_name_that_two_images_have_is_refused_with_their_ids(self, account: Account) -> None:
        account.fake.images["26326"]["name"] = account.fake.images["26318"]["name"]
        ran = account.run("images", "get", account.fake.images["26318"]["name"])
        assert ran.code == 1
        assert "26318" in ran.err
        assert "26326" in ran.err


class TestDelete:
    def test_ids_are_deleted_and_reported(self, account: Account) -> None:
        ran = account.run("images", "delete", "26318", "26326", "--yes")
        assert ran.code == 0
        assert not {"26318", "26326"} & set(account.fake.images)
        assert "2 images: 2 deleted" in ran.err
        assert [line.split()[0] for line in ran.lines] == ["ID", "26318", "26326"]

    def test_a_plan_shows_the_dates_that_a_listing_shows(self, account: Account) -> None:
        account.fake.images["26318"]["creation_time"] = "2026-03-19T04:19:00+05:30"
        listed = account.run("images", "list", "--columns", "image_id,creation_time").lines
        assert "26318  2026-03-18 22:49Z" in listed
        planned = account.run("images", "delete", "26318", "--dry-run").lines[1]
        assert planned.split()[-1] == "2026-03-18"

    @pytest.mark.parametrize("option", ["--limit", "--deadline"])
    def test_a_wrong_option_of_the_run_is_refused_before_the_question(
        self, account: Account, option: str
    ) -> None:
        ran = account.run("images", "delete", "26318", option, "0", answer="y\n")
        assert ran.code == 2
        assert f"{option}: a " in ran.err
        assert "cannot be undone" not in ran.err
        assert account.writes == 0

    def test_without_a_terminal_and_without_yes_nothing_happens(self, account: Account) -> None:
        ran = account.run("images", "delete", "26318")
        assert ran.code == 2
        assert "--yes" in ran.err
        assert account.writes == 0

    def test_no_is_the_answer_that_changes_nothing(self, account: Account) -> None:
        for answer in ("n\n", "\n", "", "maybe\n"):
            ran = account.run("images", "delete", "26318", answer=answer)
            assert ran.code == 2
            assert "Delete 1 image (" in ran.err
            assert "This cannot be undone. [y/N]" in ran.err.replace("\x1b[0m", "")
        assert account.writes == 0

    def test_yes_is_the_answer_that_deletes(self, account: Account) -> None:
        assert account.run("images", "delete", "26318", answer="y\n").code == 0
        assert account.writes == 1

    def test_a_dry_run_sends_reads_only(self, account: Account) -> None:
        ran = account.run("images", "delete", "--match", "web-*", "--dry-run")
        assert ran.code == 0
        assert len(ran.lines) == 1 + len(ids(account, "web-"))
        assert "nothing was changed" in ran.err
        assert account.writes == 0

    def test_a_dry_run_in_json_is_a_plan_that_from_takes(
        self, account: Account, tmp_path: Path
    ) -> None:
        planned = account.run("images", "delete", "--match", "web-*", "--dry-run", "-o", "json")
        assert planned.json["dry_run"] is True
        file = tmp_path / "plan.json"
        file.write_text(planned.out)
        doomed = set(ids(account, "web-"))
        assert account.run("images", "delete", "--from", str(file), "--yes").code == 0
        assert not doomed & set(account.fake.images)

    def test_a_plan_that_was_changed_is_refused(self, account: Account, tmp_path: Path) -> None:
        planned = account.run("images", "delete", "26318", "--dry-run", "-o", "json")
        file = tmp_path / "plan.json"
        file.write_text(planned.out.replace("26318", "26326"))
        assert account.run("images", "delete", "--from", str(file), "--yes").code == 2
        assert account.writes == 0

    def test_a_plan_for_something_else_is_refused(self, account: Account) -> None:
        planned = account.run("images", "delete", "26318", "--dry-run", "-o", "json")
        ran = account.run("images", "rename", "--from", "-", "--yes", stdin=planned.out)
        assert ran.code == 2
        assert "delete plan" in ran.err

    @pytest.mark.parametrize("form", ["-q", "--json", "-ojsonl"])
    def test_what_a_list_prints_feeds_from(self, account: Account, form: str) -> None:
        words = form.replace("-ojsonl", "-o jsonl").split()
        listed = account.run("images", "list", "--match", "web-*", *words)
        ran = account.run("images", "delete", "--from", "-", "--yes", "-q", stdin=listed.out)
        assert ran.code == 0
        assert set(ran.lines)
        assert not ids(account, "web-")

    def test_lines_may_have_comments_and_blanks(self, account: Account) -> None:
        text = "# old ones\n\n26318\n  26326  \n"
        assert account.run("images", "delete", "--from", "-", "-y", stdin=text).code == 0
        assert account.writes == 2

    @pytest.mark.parametrize(
        "text",
        ['{"a": 1}', "[true]", '{"items": 5}', '{"image_id": "1"}\nno json', '[{"name": "x"}]'],
    )
    def test_what_is_no_list_of_images_is_refused(self, account: Account, text: str) -> None:
        ran = account.run("images", "delete", "--from", "-", "-y", stdin=text)
        assert ran.code == 2
        assert ran.err.startswith("Error: --from -: ")
        assert account.writes == 0

    def test_a_file_that_cannot_be_read_is_named(self, account: Account, tmp_path: Path) -> None:
        ran = account.run("images", "delete", "--from", str(tmp_path / "missing"), "-y")
        assert ran.code == 2
        assert "missing" in ran.err
        (tmp_path / "latin").write_bytes(b"\xe9\n")
        assert account.run("images", "delete", "--from", str(tmp_path / "latin")).code == 2

    def test_names_delete_as_well_as_ids(self, account: Account) -> None:
        name = account.fake.images["26318"]["name"]
        assert account.run("images", "delete", name, "-y").code == 0
        assert "26318" not in account.fake.images
        ran = account.run("images", "delete", "nobody", "nothing", "-y")
        assert ran.code == 1
        assert "2 images cannot be found" in ran.err

    def test_images_in_use_stop_the_whole_plan_with_a_way_out(self, account: Account) -> None:
        account.fake.images["26318"]["running_vms"] = 1
        ran = account.run("images", "delete", "26318", "26326", "-y")
        assert ran.code == 2
        assert "--in-use-too" in ran.err
        assert account.writes == 0
        account.run("images", "delete", "26318", "26326", "-y", "--in-use-too")
        assert "26326" not in account.fake.images

    def test_an_image_that_is_not_there_fails_unless_that_is_fine(self, account: Account) -> None:
        ran = account.run("images", "delete", "1", "26318", "-y")
        assert ran.code == 1
        assert "1 deleted, 1 failed" in ran.err
        assert account.run("images", "delete", "1", "-y", "--missing-ok").code == 0

    def test_json_lines_come_in_order_of_completion(self, account: Account) -> None:
        ran = account.run("images", "delete", "--match", "web-*", "-y", "-o", "jsonl")
        found = [json.loads(line) for line in ran.lines]
        assert {item["status"] for item in found} == {"done"}
        assert len(found) == account.writes

    def test_json_has_the_outcomes_and_the_counts(self, account: Account) -> None:
        ran = account.run("images", "delete", "26318", "1", "-y", "--json")
        assert ran.code == 1
        assert ran.json["counts"]["done"] == 1
        assert ran.json["counts"]["failed"] == 1
        assert ran.json["ok"] is False
        assert [item["step"]["target"] for item in ran.items] == ["26318", "1"]

    def test_nothing_selected_is_a_usage_error(self, account: Account) -> None:
        assert account.run("images", "delete", "--yes").code == 2
        assert account.run("images", "delete", "26318", "--match", "*", "--yes").code == 2
        assert account.writes == 0

    def test_a_selection_without_images_is_nothing_to_do(self, account: Account) -> None:
        ran = account.run("images", "delete", "--match", "nothing-*")
        assert ran.code == 0
        assert "nothing to do" in ran.err


class TestRename:
    def test_one_image_is_renamed_without_a_question(self, account: Account) -> None:
        ran = account.run("images", "rename", "26318", "golden")
        assert ran.code == 0
        assert account.fake.images["26318"]["name"] == "golden"

    def test_a_template_makes_the_names(self, account: Account) -> None:
        before = {id_: account.fake.images[id_]["name"] for id_ in ids(account, "web-")}
        ran = account.run("images", "rename", "--match", "web-*", "--to", "old-{name}", "--yes")
        assert ran.code == 0
        for id_, name in before.items():
            assert account.fake.images[id_]["name"] == f"old-{name}"

    def test_a_template_makes_the_name_of_one_image_too(self, account: Account) -> None:
        name = account.fake.images["26318"]["name"]
        ran = account.run("images", "rename", "26318", "--to", "old-{name}")
        assert ran.code == 0
        assert account.fake.images["26318"]["name"] == f"old-{name}"

    def test_a_name_and_a_template_exclude_each_other(self, account: Account) -> None:
        ran = account.run("images", "rename", "26318", "golden", "--to", "old-{name}")
        assert ran.code == 2
        assert "NAME and --to exclude each other" in ran.err
        assert account.writes == 0

    def test_more_than_one_is_asked_about(self, account: Account) -> None:
        ran = account.run("images", "rename", "--match", "web-*", "--to", "old-{name}")
        assert ran.code == 2
        assert account.writes == 0

    def test_pairs_come_from_lines(self, account: Account) -> None:
        text = "26318 first name\n26326\tsecond\n"
        assert account.run("images", "rename", "--from", "-", "-y", stdin=text).code == 0
        assert account.fake.images["26318"]["name"] == "first name"
        assert account.fake.images["26326"]["name"] == "second"

    def test_two_names_are_swapped(self, account: Account) -> None:
        one, two = (account.fake.images[id_]["name"] for id_ in ("26318", "26326"))
        text = f"26318 {two}\n26326 {one}\n"
        assert account.run("images", "rename", "--from", "-", "-y", stdin=text).code == 0
        assert account.fake.images["26318"]["name"] == two

    def test_a_line_without_a_name_is_refused(self, account: Account) -> None:
        ran = account.run("images", "rename", "--from", "-", "-y", stdin="26318 a\n26326\n")
        assert ran.code == 2
        assert "26326" in ran.err

    def test_a_wrong_word_in_a_template_is_named_with_the_nearest(self, account: Account) -> None:
        ran = account.run("images", "rename", "--match", "*", "--to", "{nme}-old", "-y")
        assert ran.code == 2
        assert "did you mean name" in ran.err
        assert "{distro}" in ran.err
        assert account.writes == 0

    @pytest.mark.parametrize(
        "words",
        [["26318"], ["--match", "web-*"], ["26318", "a", "--match", "x"], ["--to", "x-{name}"]],
    )
    def test_half_a_rename_is_refused(self, account: Account, words: list[str]) -> None:
        assert account.run("images", "rename", *words, "--yes").code == 2
        assert account.writes == 0

    def test_a_dry_run_shows_old_and_new_names(self, account: Account) -> None:
        name = account.fake.images["26318"]["name"]
        ran = account.run("images", "rename", "26318", "golden", "--dry-run")
        assert ran.lines[1].split() == ["26318", name, "golden"]


class TestWait:
    def test_images_that_are_ready_are_printed(self, account: Account) -> None:
        ran = account.run("images", "wait", "26318", "26326", "-q")
        assert (ran.code, ran.lines) == (0, ["26318", "26326"])

    def test_an_image_that_is_gone_is_waited_for(self, account: Account) -> None:
        account.run("images", "delete", "26318", "-y")
        assert account.run("images", "wait", "26318", "--state", "gone").code == 0

    def test_time_is_limited(self, account: Account) -> None:
        account.fake.images["26318"]["image_state"] = "Creating"
        ran = account.run("images", "wait", "26318", "26326", "--timeout", "0.6", "-q")
        assert ran.code == 1
        assert ran.lines == ["26326"]
        assert "Next step: " in ran.err

    def test_an_image_that_failed_ends_the_waiting(self, account: Account) -> None:
        account.fake.images["26318"]["image_state"] = "Error"
        assert account.run("images", "wait", "26318").code == 1
