"""From words to a call: commands and options, their errors, their help and completion.

The only module that knows cyclopts.
"""

from __future__ import annotations

import difflib
import inspect
import textwrap
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, Final

import attrs
from cyclopts import App, CycloptsError, Parameter
from cyclopts.argument import Argument, ArgumentCollection
from cyclopts.exceptions import (
    CoercionError,
    MissingArgumentError,
    RepeatArgumentError,
    UnknownOptionError,
    UnusedCliTokensError,
)
from cyclopts.token import Token

from .exits import MEANINGS, CommandError, Exit

__all__ = [
    "Command",
    "Invocation",
    "Option",
    "Parser",
    "Place",
    "argument",
    "flatten",
    "given",
    "nearest",
    "option",
]

#: The sections of a help screen, in their order.
WHICH: Final = "Selection"
RUNNING: Final = "Run"
OUTPUT: Final = "Output"
ACCOUNT: Final = "Account"
GENERAL: Final = "General"
_OWN: Final = "Options"
_SECTIONS: Final = (WHICH, _OWN, RUNNING, OUTPUT, ACCOUNT, GENERAL)

_WIDTH: Final = 80
_INDENT: Final = 2
_LEFT: Final = 24
_HELP: Final = ("--help", "-h")
_MOST_SHORT: Final = 2


#: Checks a value that was typed. It is handed the name of the option, for the error.
Check = Callable[[str, Any], object]


def option(
    *names: str,
    section: str = _OWN,
    metavar: str = "",
    hyphen: bool = False,
    check: Check | None = None,
    text: str,
) -> Parameter:
    """An option, to annotate a parameter with.

    Args:
        names: As they are typed, the main one first.
        section: The part of the help screen where it stands.
        metavar: What its value is called; "" for a flag, and for a choice, which lists its words.
        hyphen: Whether its value may begin with a hyphen (``--from -``).
        check: Raises a `CommandError` for an invalid value, before anything is sent.
        text: What it does.
    """
    return Parameter(
        name=names,
        group=section,
        metavar=metavar,
        negative="",
        allow_leading_hyphen=hyphen,
        validator=_validator(names[0], check),
        help=text,
    )


def argument(metavar: str, text: str) -> Parameter:
    """A positional argument, to annotate a parameter with; an empty one is refused."""
    return Parameter(
        name=metavar, metavar=metavar, validator=_validator(metavar, _not_blank), help=text
    )


def _validator(name: str, check: Check | None) -> Callable[[Any, Any], None] | None:
    """A check as cyclopts calls it."""
    if check is None:
        return None

    def validate(_: Any, value: str | int | tuple[str, ...] | None) -> None:
        # A parameter that may be repeated has a tuple; one that was not given may have None.
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                check(name, one)

    return validate


def _not_blank(name: str, value: str) -> None:
    if not value.strip():
        raise CommandError(f"{name} must not be empty")


def flatten() -> Parameter:
    """A group of options (an attrs class), to annotate a parameter with."""
    return Parameter(name="*")


def given() -> Parameter:
    """A parameter that does not come from the command line."""
    return Parameter(parse=False)


@attrs.frozen
class Command:
    """One command."""

    #: Its words, such as ``"images list"``.
    name: str
    run: Callable[..., Awaitable[Exit]]
    #: What stands first in its help; each is a whole command line.
    examples: tuple[str, ...]
    #: The forms of its positional arguments, such as ``"NODE NAME"``.
    usage: str = ""

    @property
    def text(self) -> str:
        """What it does: a sentence, and what more there is to say."""
        return inspect.cleandoc(self.run.__doc__ or "")

    @property
    def sentence(self) -> str:
        """What it does, in a sentence."""
        return self.text.partition("\n\n")[0].replace("\n", " ")


@attrs.frozen
class Option:
    """An option as help and completion show it."""

    names: tuple[str, ...]
    #: What its value is called; "" for a flag.
    metavar: str
    #: The words that its value may be; none for any.
    choices: tuple[str, ...]
    text: str

    @property
    def takes_value(self) -> bool:
        """Whether a value follows."""
        return bool(self.choices) or self.metavar not in ("", "[N]")

    @property
    def is_file(self) -> bool:
        """Whether the value names a file."""
        return self.metavar == "FILE"

    @property
    def row(self) -> tuple[str, str]:
        """As it stands on a help screen: ``-o, --output table|json``, and what it does."""
        shorts = [name for name in self.names if len(name) == _MOST_SHORT]
        longs = [name for name in self.names if len(name) > _MOST_SHORT]
        value = "|".join(self.choices) or self.metavar
        text = self.text
        if longs[1:]:
            text += f" Also {', '.join(longs[1:])}."
        return f"{', '.join([*shorts, *longs[:1]])} {value}".rstrip(), text


@attrs.frozen
class Place:
    """What may follow some words of a command line: for completion."""

    #: The words, by all names that a group has; "" for the program.
    paths: tuple[str, ...]
    #: The commands that may follow, or what an argument may be; each with what it means.
    words: tuple[tuple[str, str], ...]
    options: tuple[Option, ...]
    #: Whether an argument names a file.
    takes_file: bool = False
    #: Whether a command has to follow.
    is_group: bool = False


@attrs.frozen
class Invocation:
    """A command with its arguments, ready to be called."""

    command: Command
    arguments: inspect.BoundArguments
    #: The parameter that takes the shell.
    takes: tuple[str, ...]

    def __call__(self, shell: object) -> Awaitable[Exit]:
        """Begin the command."""
        bound = self.arguments
        extra = dict.fromkeys(self.takes, shell)
        return self.command.run(*bound.args, **bound.kwargs, **extra)


_HELP_OPTION: Final = Option(_HELP, "", (), "Show what a command does.")
_VERSION_OPTION: Final = Option(("--version",), "", (), "Show the version.")


class Parser:
    """All commands of a program.

    Args:
        program: Its name.
        commands: The commands.
        aliases: Other names of the groups, such as ``{"images": "image"}``.
        foreign: Commands that are carried out elsewhere, with a sentence about each.
        summary: What the program is.
        examples: What stands first in its help.
    """

    def __init__(
        self,
        program: str,
        commands: Iterable[Command],
        *,
        aliases: dict[str, str],
        foreign: dict[str, str],
        summary: str,
        examples: tuple[str, ...],
    ) -> None:
        self.program = program
        self._commands = {command.name: command for command in commands}
        self._aliases = aliases
        self._foreign = foreign
        self._summary = summary
        self._examples = examples

    @cached_property
    def _app(self) -> App:
        app = App(self.program, help_flags=[], version_flags=[])
        groups: dict[str, App] = {}
        for command in self._commands.values():
            *path, name = command.name.split()
            home = app
            for word in path:
                if word not in groups:
                    alias = self._aliases.get(word)
                    groups[word] = App(word, alias=alias, help_flags=[], version_flags=[])
                    app.command(groups[word])
                home = groups[word]
            home.command(command.run, name=name, help=command.sentence)
        return app

    def parse(self, words: Sequence[str]) -> Invocation | str:
        """What to call; or the help that was asked for.

        Raises:
            CommandError: The words are not a command, or not one that can be carried out.
        """
        words = self._canonical(words)
        path, rest = self._split(words)
        if _wants_help(words):
            return self.help(" ".join(path))
        command = self._commands.get(" ".join(path))
        if command is None:
            raise self._unknown_command(path, rest)
        try:
            _, bound, ignored = self._app.parse_args(words, exit_on_error=False, print_error=False)
        except CycloptsError as error:
            failure = self._failure(command, error, words)
        else:
            return Invocation(command, bound, tuple(ignored))
        raise failure

    def _canonical(self, words: Sequence[str]) -> list[str]:
        """The words with the aliases of groups replaced, and ``help`` taken off the front."""
        found = list(words)
        if found[:1] == ["help"]:
            found = [*found[1:], "--help"]
        names = {alias: name for name, alias in self._aliases.items()}
        if found and found[0] in names:
            found[0] = names[found[0]]
        return found

    def _split(self, words: Sequence[str]) -> tuple[list[str], list[str]]:
        """The words that name a command or a group, and the rest."""
        known = {tuple(name.split()[:n]) for name in self._commands for n in (1, 2)}
        path: list[str] = []
        while len(path) < len(words) and (*path, words[len(path)]) in known:
            path.append(words[len(path)])
        return path, list(words[len(path) :])

    def _unknown_command(self, path: Sequence[str], rest: Sequence[str]) -> CommandError:
        inside = f"{self.program} {' '.join(path)}".strip()
        known = self._names_in(path)
        if not rest or rest[0].startswith("-"):
            return CommandError(
                f"{inside} needs a command: {', '.join(known)}", next_step=f"`{inside} --help`"
            )
        hint = nearest(rest[0], known)
        return CommandError(
            f"there is no command {rest[0]!r} in `{inside}`{hint}",
            next_step=f"`{inside} --help` lists the commands",
        )

    def _names_in(self, path: Sequence[str]) -> list[str]:
        depth = len(path)
        names = [name.split() for name in self._commands]
        found = [name[depth] for name in names if name[:depth] == list(path) and len(name) > depth]
        if not path:
            found += self._foreign
        return list(dict.fromkeys(found))

    def _failure(
        self, command: Command, error: CycloptsError, words: Sequence[str]
    ) -> CommandError:
        """What went wrong, in words of our own."""
        error.verbose = False
        help_line = f"`{self.program} {command.name} --help`"
        return CommandError(self._said(command, error, words), next_step=help_line)

    def _said(self, command: Command, error: CycloptsError, words: Sequence[str]) -> str:
        match error:
            case UnknownOptionError():
                return self._said_of_option(command, error.token.keyword or error.token.value)
            case UnusedCliTokensError():
                takes = command.usage or "no argument"
                unused = " ".join(error.unused_tokens or ())
                return f"too many arguments: {unused}; `{command.name}` takes {takes}"
            case MissingArgumentError(argument=Argument() as item):
                return self._said_of_missing(command, item, words)
            case RepeatArgumentError():
                return self._said_of_repeated(command, error.token.keyword, words)
            case CoercionError(argument=Argument() as item, token=Token() as token):
                return _said_of_value(item, token.keyword, token.value)
            case _:
                return str(error)

    def _said_of_missing(self, command: Command, item: Argument, words: Sequence[str]) -> str:
        places = _typed(item.names, words)
        if not places:
            return f"{item.name} is missing"
        name, *following = words[places[-1] : places[-1] + 2]
        names = self._option_names(command)
        if any(word.startswith("-") and word not in names for word in following):
            return f"{name} needs a value; one that begins with a hyphen is written {name}=VALUE"
        return f"{name} needs a value"

    def _said_of_repeated(self, command: Command, name: str | None, words: Sequence[str]) -> str:
        [same] = [option.names for option in self.options(command) if name in option.names]
        names = dict.fromkeys(words[place].partition("=")[0] for place in _typed(same, words))
        if len(names) > 1:
            return f"{' and '.join(names)} are the same option: give one of them"
        return f"{name} was given twice"

    def _option_names(self, command: Command) -> list[str]:
        return [name for option in self.options(command) for name in option.names]

    def _said_of_option(self, command: Command, word: str) -> str:
        name = word.partition("=")[0]
        known = self._option_names(command)
        if name in known:
            return f"{name} stands after --, where options are no longer read: put it before"
        return f"there is no option {name}{nearest(name, [*known, *_HELP])}"

    @property
    def commands(self) -> list[Command]:
        """All commands."""
        return list(self._commands.values())

    def options(self, command: Command) -> list[Option]:
        """The options of a command."""
        return [_option_of(item) for item in self._arguments(command) if item.index is None]

    def places(self) -> list[Place]:
        """What may follow what, for completion."""
        options = (_HELP_OPTION, _VERSION_OPTION)
        program = Place(("",), tuple(self._words_in("")), options, is_group=True)
        groups = map(self._place_of_group, self._groups())
        return [program, *groups, *map(self._place_of, self._commands.values())]

    def _place_of_group(self, group: str) -> Place:
        names, words = tuple(self._names_of(group)), tuple(self._words_in(group))
        return Place(names, words, (_HELP_OPTION,), is_group=True)

    def _groups(self) -> list[str]:
        """The groups of commands, in their order."""
        return list(dict.fromkeys(name.split()[0] for name in self._commands if " " in name))

    def _names_of(self, path: str) -> list[str]:
        """A path by all names that its group has."""
        group, space, rest = path.partition(" ")
        if group not in self._aliases:
            return [path]
        return [path, f"{self._aliases[group]}{space}{rest}"]

    def _place_of(self, command: Command) -> Place:
        arguments = self._arguments(command)
        positional = [item for item in arguments if item.index is not None]
        options = [_option_of(item) for item in arguments if item.index is None]
        words = [(word, "") for item in positional for word in item.get_choices() or ()]
        return Place(
            tuple(self._names_of(command.name)),
            tuple(words),
            (*options, _HELP_OPTION),
            takes_file=any(item.parameter.metavar == "JOURNAL" for item in positional),
        )

    def _words_in(self, group: str) -> Iterator[tuple[str, str]]:
        """The commands in a group (in the program, for ""), with what they do."""
        if group:
            for name, command in self._commands.items():
                if name.startswith(f"{group} "):
                    yield name.removeprefix(f"{group} "), command.sentence
            return
        for word in self._names_in(()):
            if word in self._commands:
                yield word, self._commands[word].sentence
            else:
                yield word, self._foreign.get(word, f"Work with {word}.")

    def _arguments(self, command: Command) -> list[Argument]:
        app = self._app
        for word in command.name.split():
            app = app[word]
        return list(_leaves(app.assemble_argument_collection()))

    def help(self, path: str) -> str:
        """The help screen of a command, of a group, or (for "") of the program."""
        if path in self._commands:
            return "\n".join(self._screen_of_command(self._commands[path]))
        if path:
            return "\n".join(self._screen_of_group(path))
        return "\n".join(self._screen_of_program())

    def paths(self) -> list[str]:
        """What has a help screen: the program (""), each group and each command."""
        return ["", *sorted({*self._groups(), *self._commands})]

    def _screen_of_program(self) -> Iterator[str]:
        yield self._summary
        yield ""
        yield from _section("Examples", self._examples)
        yield from _section("Usage", [f"{self.program} COMMAND [OPTIONS]"])
        rows = [(name, command.sentence) for name, command in self._commands.items()]
        yield from _table("Commands", [*rows, *self._foreign.items()])
        yield from _table("Exit codes", [(f"{code:>4d}", text) for code, text in MEANINGS.items()])
        yield f"`{self.program} COMMAND --help` says more about a command."

    def _screen_of_group(self, group: str) -> Iterator[str]:
        inside = {
            name.removeprefix(f"{group} "): command
            for name, command in self._commands.items()
            if name.startswith(f"{group} ")
        }
        yield f"Work with {group}."
        yield ""
        examples = [command.examples[0] for command in inside.values()]
        yield from _section("Examples", examples[:3])
        yield from _section("Usage", [f"{self.program} {group} COMMAND [OPTIONS]"])
        rows = [(name, command.sentence) for name, command in inside.items()]
        yield from _table("Commands", rows)
        yield f"`{self.program} {group} COMMAND --help` says more about a command."

    def _screen_of_command(self, command: Command) -> Iterator[str]:
        first, *more = command.text.split("\n\n")
        yield from textwrap.wrap(first, _WIDTH)
        yield ""
        yield from _section("Examples", command.examples)
        usage = f"{self.program} {command.name} {command.usage}".rstrip()
        yield from _section("Usage", [f"{usage} [OPTIONS]"])
        for paragraph in more:
            yield from textwrap.wrap(paragraph, _WIDTH)
            yield ""
        arguments = self._arguments(command)
        positional = [item for item in arguments if item.index is not None]
        yield from _table(
            "Arguments", [(item.name, item.parameter.help or "") for item in positional]
        )
        for section in _SECTIONS:
            options = [_option_of(item) for item in arguments if _section_of(item) == section]
            yield from _table(section, [option.row for option in options], _LEFT)
        yield f"`{self.program} --help` lists all commands, and the exit codes."


def _wants_help(words: Sequence[str]) -> bool:
    """Whether help is asked for: before ``--``, or by saying nothing."""
    options, _, _ = "\0".join(words).partition("\0--\0")
    return not words or not set(_HELP).isdisjoint(options.split("\0"))


def _leaves(arguments: ArgumentCollection | Sequence[Argument]) -> Iterator[Argument]:
    """The arguments that can be typed, those of option groups included."""
    for item in arguments:
        if item.show and item.parse and not item.children:
            yield item


def _typed(names: Iterable[str], words: Sequence[str]) -> list[int]:
    """Where an option stands in a command line, by any of its names."""
    names = {*names}
    return [place for place, word in enumerate(words) if word.partition("=")[0] in names]


def _said_of_value(item: Argument, keyword: str | None, value: str) -> str:
    name = keyword or item.name
    choices = item.get_choices()
    if choices:
        hint = nearest(value, choices)
        return f"{name}: one of {', '.join(choices)} is needed, not {value!r}{hint}"
    if item.hint is bool:
        return f"{name} is a flag and takes no value"
    return f"{name}: a whole number is needed, not {value!r}"


def nearest(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that names what was probably meant; "" where nothing comes near."""
    known = list(known)
    longer = [name for name in known if len(word) > _MOST_SHORT and name.startswith(word)]
    close = longer or difflib.get_close_matches(word, known, n=2, cutoff=0.6)
    if not close:
        return ""
    return f"; did you mean {' or '.join(close[:3])}?"


def _section_of(item: Argument) -> str:
    if item.index is not None:
        return ""
    groups: Any = item.parameter.group
    names = {group.name for group in groups or ()}
    return next((section for section in _SECTIONS if section in names), _OWN)


def _option_of(item: Argument) -> Option:
    names, choices = tuple(item.names), tuple(item.get_choices() or ())
    text = item.parameter.help or ""
    if choices:
        return Option(names, "", choices, text)
    return Option(names, item.parameter.metavar or "", (), text)


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    yield f"{title}:"
    for line in lines:
        yield from textwrap.wrap(
            line,
            _WIDTH,
            initial_indent=" " * _INDENT,
            subsequent_indent=" " * (_INDENT + 4),
            break_long_words=False,
            break_on_hyphens=False,
        )
    yield ""


def _table(title: str, rows: Sequence[tuple[str, str]], width: int = 0) -> Iterator[str]:
    """A title and the rows below it; nothing where there is no row."""
    if rows:
        yield f"{title}:"
        yield from _columns(rows, width)
        yield ""


def _columns(rows: Iterable[tuple[str, str]], width: int = 0) -> Iterator[str]:
    """Two columns. A left cell that is wider than `width` has a line of its own."""
    rows = list(rows)
    left = (width or max((len(name) for name, _ in rows), default=0)) + _INDENT + 2
    for name, text in rows:
        lines = textwrap.wrap(text, _WIDTH - left, break_on_hyphens=False) or [""]
        start = f"{'':{_INDENT}}{name}"
        if len(start) > left - 2:
            yield start
            start = ""
        yield f"{start:{left}}{lines[0]}".rstrip()
        for line in lines[1:]:
            yield f"{'':{left}}{line}"
