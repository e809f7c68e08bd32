"""The words of the command line: commands, options, help, errors of usage, exit codes."""

from __future__ import annotations

import inspect
import io
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_account import Account, Ran, opened

import aioe2e
from aioe2e import __main__ as entry
from aioe2e.cli import main
from aioe2e.cli.command_line import PARSER
from aioe2e.cli.exits import MEANINGS, CommandError, Exit, code_of, next_step
from aioe2e.cli.inputs import Template
from aioe2e.cli.options import seconds

CLASSES = sorted(
    (
        value
        for value in (getattr(aioe2e, name) for name in aioe2e.__all__)
        if inspect.isclass(value) and issubclass(value, aioe2e.E2EError)
    ),
    key=lambda cls: cls.__name__,
)
#: The whole table again, so that a new class of errors has to be thought about.
CODES = {
    "APIError": 1,
    "AmbiguousNameError": 1,
    "AttemptTimeoutError": 5,
    "AuthenticationError": 3,
    "BadRequestError": 1,
    "BulkError": 1,
    "ConfigError": 4,
    "ConflictError": 1,
    "ConnectError": 5,
    "ConnectionLostError": 5,
    "DeadlineExceededError": 5,
    "E2EError": 1,
    "GuardError": 5,
    "ImageFailedError": 1,
    "NodeFailedError": 1,
    "NotFoundError": 1,
    "OutcomeUnknownError": 6,
    "PermissionDeniedError": 3,
    "RateLimitedError": 5,
    "ResponseError": 5,
    "ServerError": 5,
    "SessionError": 1,
    "SkippedError": 1,
    "TransportError": 5,
    "UsageError": 2,
    "WaitTimeoutError": 1,
}


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    yield from opened(monkeypatch, tmp_path)


def run(*words: str) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    code = main(words, stdin=io.StringIO(), stdout=out, stderr=err, environ={})
    return Ran(code, out.getvalue(), err.getvalue())


def made(cls: type[aioe2e.E2EError]) -> aioe2e.E2EError:
    """An error of a class, made without its arguments."""
    if issubclass(cls, aioe2e.BulkError):
        return cls("some", [aioe2e.E2EError("one")])
    error = cls.__new__(cls)
    error.args = ("it went wrong",)
    return error


class TestExitCodes:
    def test_each_class_of_errors_has_its_code(self) -> None:
        assert {cls.__name__: int(code_of(made(cls))) for cls in CLASSES} == CODES

    def test_a_group_with_an_unknown_outcome_counts_as_unknown(self) -> None:
        unknown = aioe2e.OutcomeUnknownError("lost", action="save", target="1")
        group = aioe2e.BulkError("some", [aioe2e.E2EError("one"), unknown])
        assert code_of(group) is Exit.UNKNOWN

    def test_the_help_names_every_code(self) -> None:
        shown = run("--help").out
        for code, meaning in MEANINGS.items():
            assert f"{code:d}  {meaning}" in shown
        assert set(MEANINGS) == set(Exit)

    @pytest.mark.parametrize(
        ("fault", "code"),
        [
            ("401-json", 3),
            ("403-json", 3),
            ("404-json", 1),
            ("400-json", 1),
            ("500-json", 5),
            ("429-json-long", 5),
            ("refuse", 5),
            ("html-200", 5),
        ],
    )
    def test_what_the_server_says_becomes_a_code(
        self, account: Account, fault: str, code: int
    ) -> None:
        account.fake.inject(fault, "list", times=50)
        ran = account.run("images", "list", "--timeout", "0.6")
        assert ran.code == code
        assert ran.err.startswith("Error: ")
        assert "Traceback" not in ran.err

    def test_missing_settings_are_a_code_of_their_own(
        self, account: Account, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.delenv("E2E_API_KEY")
        ran = account.run("images", "list")
        assert ran.code == 4
        assert "E2E_API_KEY" in ran.err
        monkeypatch.delenv("E2E_AUTH_TOKEN")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert account.run("images", "list").code == 4


class TestHelp:
    @pytest.mark.parametrize("path", PARSER.paths(), ids=lambda path: path or "(program)")
    def test_a_screen_fits_80_columns_and_begins_with_an_example(self, path: str) -> None:
        ran = run(*path.split(), "--help")
        assert (ran.code, ran.err) == (0, "")
        lines = ran.lines
        assert max(map(len, lines)) <= 80
        assert all(line == line.rstrip() for line in lines)
        assert any(line.startswith("Example") for line in lines[:5])
        assert any(line.startswith("  aioe2e ") for line in lines[:6])

    @pytest.mark.parametrize("path", PARSER.paths(), ids=lambda path: path or "(program)")
    def test_screens_are_those_of_the_docs(self, path: str) -> None:
        """The docs page is made from the same screens: see docs/tables.py."""
        assert PARSER.help(path) == run(*path.split(), "-h").out.rstrip("\n")

    def test_every_option_says_what_it_does(self) -> None:
        for command in PARSER.commands:
            for option in PARSER.options(command):
                assert option.text.endswith("."), (command.name, option.names)

    def test_examples_can_be_parsed(self) -> None:
        for command in PARSER.commands:
            for example in command.examples:
                for part in example.partition(" >")[0].split(" | "):
                    words = shlex.split(part)[1:]
                    assert not isinstance(PARSER.parse(words), str)

    def test_help_is_a_command_as_well(self) -> None:
        assert run("help", "images", "list").out == run("images", "list", "--help").out
        assert run("image", "--help").out == run("images", "--help").out
        assert run().out == run("--help").out


class TestUsage:
    @pytest.mark.parametrize(
        ("words", "hint"),
        [
            (["imges", "list"], "did you mean images"),
            (["images", "lst"], "did you mean list"),
            (["images", "list", "--mach", "x"], "did you mean --match"),
            (["images", "list", "--older", "x"], "did you mean --older-than"),
            (["images", "list", "-o", "jso"], "did you mean json"),
            (["images", "list", "--sort", "nme"], "did you mean name"),
            (["images", "delete", "1", "--limit", "x"], "--limit: a whole number"),
            (["images", "get"], "IMAGE is missing"),
            (["images", "get", "1", "2"], "too many arguments: 2"),
            (["images", "list", "--json=x"], "--json is a flag"),
            (["images", "--json"], "needs a command"),
            (["images", "list", "--older-than", "soon"], "'30d'"),
            (["images", "delete", "26318", "-y", "--deadline", "soon"], "--deadline: a time"),
            (["images", "list", "--per", "distro"], "--per goes with --keep"),
            (["images", "list", "--keep", "1", "--per", "disto"], "--per: one of distro"),
        ],
    )
    def test_mistakes_are_named_with_what_was_probably_meant(
        self, account: Account, words: list[str], hint: str
    ) -> None:
        ran = account.run(*words)
        assert ran.code == 2
        assert ran.err.startswith("Error: ")
        assert hint in ran.err

    def test_options_may_stand_before_the_command(self, account: Account) -> None:
        assert (
            account.run("-q", "images", "list").lines == account.run("images", "list", "-q").lines
        )
        assert run("--profile", "nobody-has-this", "images", "list").code == 4

    def test_an_emulated_account_lasts_for_one_command(self) -> None:
        assert len(run("images", "list", "-q", "--emulator", "7").lines) == 7
        assert len(run("--emulator", "3", "images", "list", "-q").lines) == 3
        assert len(run("images", "list", "-q", "--emulator").lines) == 200
        assert len(run("images", "list", "--emulator", "-q").lines) == 200


class TestValues:
    @pytest.mark.parametrize(
        ("text", "value"),
        [("90", 90), ("90s", 90), ("30m", 1800), ("1d 12h", 129600), ("1.5h", 5400)],
    )
    def test_times_are_read(self, text: str, value: float) -> None:
        assert seconds("--timeout", text) == value

    @pytest.mark.parametrize("text", ["", "0", "-1", "1y", "h", "1h m"])
    def test_other_times_are_refused(self, text: str) -> None:
        with pytest.raises(CommandError, match="--timeout"):
            seconds("--timeout", text)

    def test_a_template_fills_in_plain_words(self) -> None:
        template = Template("--to", "a-{name}-{{x}}-{name}", ("name",))
        assert template({"name": "n"}) == "a-n-{x}-n"

    @pytest.mark.parametrize("text", ["{", "}", "{name", "{name.x}", "{name!r}", "{name:>9}", "{}"])
    def test_a_template_is_no_program(self, text: str) -> None:
        with pytest.raises(CommandError):
            Template("--to", text, ("name",))

    def test_a_template_knows_its_own_names(self) -> None:
        template = Template("--name", "n-{node}-{date}", ("node", "date"))
        pattern = template.pattern({"node": "(?:web|web-1)", "date": r"\d{8}"})
        for name in ("n-web-20260101", "n-web-1-20260101-disk-0", "n-web-20260101_1700000000"):
            assert pattern.fullmatch(name), name
        for name in ("n-web-2026", "n-db-20260101", "x-n-web-20260101", "n-web-20260101-old"):
            assert not pattern.fullmatch(name), name


class TestWithoutTheExtra:
    @pytest.fixture
    def bare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(entry, "_EXTRA", ("cyclopts", "a_package_that_nobody_has"))

    @pytest.mark.usefixtures("bare")
    def test_commands_name_it_and_end_with_4(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert entry.main(["images", "list"]) == 4
        assert "aioe2e[cli]" in capsys.readouterr().err

    @pytest.mark.usefixtures("bare")
    def test_help_and_version_are_there(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert entry.main(["--help"]) == 0
        assert entry.main(["--version"]) == 0
        assert aioe2e.__version__ in capsys.readouterr().out

    @pytest.mark.usefixtures("bare")
    def test_the_emulator_explains_itself(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit) as ended:
            entry.main(["emulator", "--help"])
        assert ended.value.code == 0
        assert "--images" in capsys.readouterr().out


def test_every_error_with_a_next_step_says_a_sentence() -> None:
    steps = [next_step(made(cls)) for cls in CLASSES]
    assert sum(map(bool, steps)) > len(steps) // 2
    assert "" not in {step.strip() for step in steps if step}
    assert os.linesep not in "".join(steps)
