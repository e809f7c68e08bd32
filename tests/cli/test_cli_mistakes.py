"""What is said of a mistake: what was wrong, where, what would be right, in the words of a command line."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli_account import Account, opened

import aioe2e
from aioe2e.cli import exits

PACKAGE = Path(aioe2e.__file__).parent
COMMAND = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "aioe2e"]


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    yield from opened(monkeypatch, tmp_path / "state")


@pytest.fixture
def ids(account: Account) -> list[str]:
    return list(account.fake.images)


class TestOptions:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("images list --emulator -1", "--emulator: a whole number of 0 or more"),
            ("images list --keep=-1", "--keep: a whole number of 0 or more is needed, not -1"),
            ("images list --older-than=-1d", "--older-than: a time such as"),
            ("images list --older-than -1d", "--older-than needs a value; one that begins with"),
            ("images list --project-id x", "--project-id: a positive whole number"),
            ("images list --project-id 0", "--project-id: a positive whole number"),
            ("images list --location ''", "--location: a value is needed"),
            ("images list --match ''", "--match: a value is needed"),
            ("images list --timeout 0", "--timeout: a time such as"),
            ("images list --dialect pot", "did you mean put"),
            ("images list --json --json", "--json was given twice"),
            ("images list --profile a --alias b", "--profile and --alias are the same option"),
            ("images list 7", "too many arguments: 7; `images list` takes no argument"),
            ("images get ''", "IMAGE must not be empty"),
            ("images wait 1 --interval 0", "--interval: a time such as"),
            ("images delete 1 --limit 0", "--limit: a whole number of 1 or more is needed"),
            ("images delete 1 --journal a --no-journal", "exclude each other"),
            ("images delete", "give IMAGE, --from FILE or a filter such as --match"),
            ("images save 1 ''", "NAME must not be empty"),
            ("images save 1 x --name y", "NAME and --name exclude each other"),
            ("images save --all --name ''", "--name: the template is empty"),
            ("images rename 1 --to y --match z", "exclude each other"),
            ("images rotate --all --keep 1", "--name is missing"),
            ("nodes get ''", "NODE must not be empty"),
        ],
    )
    def test_a_wrong_value_names_its_option_and_nothing_is_sent(
        self, account: Account, words: str, said: str
    ) -> None:
        typed = [word.strip("'") for word in words.split(" ")]
        ran = account.run(*typed)
        assert ran.code == 2
        assert said in ran.err
        assert not account.fake.calls

    def test_an_option_behind_two_hyphens_is_told_to_stand_before(self, account: Account) -> None:
        ran = account.run("images", "get", "--", "-5")  # then comes --base-url, as in every test
        assert "--base-url stands after --" in ran.err

    def test_a_report_that_would_replace_a_file_is_refused_before_anything_is_sent(
        self, account: Account, tmp_path: Path
    ) -> None:
        (tmp_path / "report").write_text("mine")
        ran = account.run("doctor", "--report", str(tmp_path / "report"))
        assert ran.code == 2
        assert "is there already" in ran.err
        assert not account.fake.calls


class TestFiles:
    @pytest.fixture
    def rename(self, account: Account, tmp_path: Path) -> Callable[[str], str]:
        def run(text: str) -> str:
            file = tmp_path / "names"
            file.write_text(text)
            ran = account.run("images", "rename", "--from", str(file), "--yes")
            assert ran.code in (1, 2)
            assert ran.err.startswith(f"Error: --from {file}: ")
            assert account.writes == 0
            return ran.err

        return run

    def test_a_line_is_named_by_its_number_in_the_file(
        self, rename: Callable[[str], str], ids: list[str]
    ) -> None:
        start = f"# names\n\n{ids[0]} a\n"
        assert f"line 4 ({ids[1]}) has no name after its id" in rename(f"{start}{ids[1]}\n")
        assert "line 4: there is no image 'nosuch'" in rename(f"{start}nosuch b\n")
        assert "line 4: name: " in rename(f"{start}{ids[1]} {'x' * 300}\n")
        assert "line 3 and line 4 have the same name: 'a'" in rename(f"{start}{ids[1]} a\n")
        assert "line 3 and line 4 have the same id" in rename(f"{start}{ids[0]} b\n")

    def test_commas_between_the_columns_are_explained(
        self, rename: Callable[[str], str], ids: list[str]
    ) -> None:
        assert "a space parts the two, not a comma" in rename(f"{ids[0]},a\n{ids[1]},b\n")

    @pytest.mark.parametrize("command", ["delete", "rename", "save"])
    def test_an_empty_file_is_named_and_is_no_mistake(self, account: Account, command: str) -> None:
        ran = account.run("images", command, "--from", "-", "-y", stdin="\n# nothing\n")
        assert ran.code == 0
        assert ran.err == "nothing to do: --from - has no ids in it\n"

    def test_many_equal_faults_are_one_sentence(self, account: Account) -> None:
        lines = "".join(f"{node} same\n" for node in account.fake.nodes)
        ran = account.run("images", "save", "--from", "-", "-y", stdin=lines)
        assert ran.err == (
            "Error: --from -: line 1, line 2, line 3 and 2 more have the same name: 'same'\n"
        )

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("images save --all --name same -y", "put {node} or {id} in it"),
            ("images rename --match * --to same -y", "put {name} or {id} in it"),
        ],
    )
    def test_a_template_that_makes_one_name_of_all_says_what_to_put_in(
        self, account: Account, words: str, said: str
    ) -> None:
        ran = account.run(*words.split())
        assert ran.code == 2
        assert "'same'" in ran.err
        assert said in ran.err
        assert len(ran.err.splitlines()) == 2

    def test_a_template_that_makes_some_names_twice_names_each_once(self, account: Account) -> None:
        ran = account.run("images", "rename", "--match", "*", "--to", "{distro}", "-y")
        assert ran.code == 2
        first, *details, last = ran.err.splitlines()
        assert "more than once" in first
        assert all(re.fullmatch(r"  - \d+ images get the name '.+'", line) for line in details)
        assert last == "Next step: put {name} or {id} in it"

    def test_a_template_whose_words_may_differ_is_carried_out(
        self, account: Account, ids: list[str]
    ) -> None:
        ran = account.run(
            "images", "rename", "--from", "-", "--to", "x-{created}", "-y", stdin="\n".join(ids[:2])
        )
        assert ran.code == 0, ran.err
        assert account.writes == 2

    @pytest.mark.parametrize("text", ["{", '{"steps": 3}', '{"plan": {}, "items": []}', "[{}]"])
    def test_json_that_cannot_be_used_names_the_file(self, account: Account, text: str) -> None:
        ran = account.run("images", "delete", "--from", "-", "-y", stdin=text)
        assert ran.code == 2
        assert ran.err.startswith("Error: --from -: ")


class TestWords:
    def test_a_refusal_names_options_and_no_arguments_of_the_library(
        self, account: Account
    ) -> None:
        ran = account.run("images", "rename", "99999999", "x")
        for text in (ran.out, ran.err):
            assert "--project-id and --location" in text
            assert "--dialect" in text
        assert not re.search(r"Dialect|project_id|existing=|SavedImage", ran.out + ran.err)

    def test_a_warning_of_the_library_is_a_line_like_any_other(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("E2E_PROJECT_ID")
        ran = account.run("images", "list")
        assert ran.err.startswith("Warning: no project: E2E_PROJECT_ID is not set")
        assert "None" not in ran.err

    def test_all_words_that_are_replaced_are_still_those_of_the_library(self) -> None:
        texts = [
            node.value
            for path in PACKAGE.rglob("*.py")
            if "cli" not in path.relative_to(PACKAGE).parts
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
        ]
        for theirs, _ in exits.OUR_WORDS:
            anchor = re.sub(r" wrote in version .*", "", theirs.pattern)
            assert any(re.search(anchor, text) for text in texts), anchor


class TestWhyAStepFailed:
    """Once, where it is read."""

    def run(self, account: Account, *words: str, together: bool) -> tuple[str, str]:
        done = subprocess.run(
            [*COMMAND, *words, "--base-url", account.fake.url],
            env={**os.environ, "XDG_STATE_HOME": str(account.state)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if together else subprocess.PIPE,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        return done.stdout, done.stderr or ""

    def test_it_stands_in_the_table_where_both_streams_go_to_one_log(
        self, account: Account
    ) -> None:
        log, _ = self.run(account, "images", "delete", "99999999", "-y", together=True)
        assert log.count("the server answered 404") == 1
        assert "1 failed" in log

    def test_each_stream_has_it_where_they_go_apart(self, account: Account) -> None:
        for stream in self.run(account, "images", "delete", "99999999", "-y", together=False):
            assert stream.count("the server answered 404") == 1

    def test_it_is_not_lost_where_the_table_has_no_such_column(self, account: Account) -> None:
        for words in (["--columns", "target"], ["--quiet"]):
            log, _ = self.run(account, "images", "delete", "99999999", "-y", *words, together=True)
            assert log.count("the server answered 404") == 1
