"""From a command line to an exit code."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Final, TextIO

import aioe2e

from . import changes, completion, reading, rotation, setup
from .exits import CommandError, Exit, code_of
from .output import complain, warnings_shown
from .parser import Command, Invocation, Parser
from .shell import Interrupts, Shell
from .terminal import OutputLostError, Screen

__all__ = ["PARSER", "main"]

PARSER: Final = Parser(
    "aioe2e",
    (
        Command(
            "images list",
            reading.list_images,
            (
                "aioe2e images list --match 'web-*' --older-than 30d --not-in-use",
                "aioe2e images list --json",
            ),
        ),
        Command("images get", reading.get_image, ("aioe2e images get 26318",), "IMAGE"),
        Command(
            "images save",
            changes.save,
            (
                "aioe2e images save web-01 golden --wait",
                "aioe2e images save --all --name 'nightly-{node}-{date}' --wait --yes",
            ),
            "[NODE NAME]",
        ),
        Command(
            "images rename",
            changes.rename,
            (
                "aioe2e images rename 26318 golden",
                "aioe2e images rename --match 'web-*' --to 'archive-{name}' --dry-run",
            ),
            "[IMAGE NAME]",
        ),
        Command(
            "images delete",
            changes.delete,
            (
                "aioe2e images delete --match 'ci-*' --older-than 30d --not-in-use --dry-run",
                "aioe2e images list -q --match 'tmp-*' | aioe2e images delete --from - --yes",
            ),
            "[IMAGE...]",
        ),
        Command(
            "images rotate",
            rotation.rotate,
            ("aioe2e images rotate --all --name 'nightly-{node}-{date}' --keep 7 --yes",),
            "[NODE...]",
        ),
        Command(
            "images wait",
            reading.wait_for_images,
            ("aioe2e images wait 26318 26326 --timeout 1h",),
            "IMAGE...",
        ),
        Command(
            "images resume",
            changes.resume,
            ("aioe2e images resume delete-20260131-020000-1f3a.journal",),
            "JOURNAL",
        ),
        Command(
            "nodes list",
            reading.list_nodes,
            ("aioe2e nodes list --match 'web-*'",),
        ),
        Command("nodes get", reading.get_node, ("aioe2e nodes get web-01",), "NODE"),
        Command("profiles list", setup.list_profiles, ("aioe2e profiles list",)),
        Command("profiles show", setup.show_profile, ("aioe2e profiles show --profile staging",)),
        Command("doctor", setup.doctor, ("aioe2e doctor", "aioe2e doctor --report report.json")),
        Command(
            "completion",
            completion.completion,
            ("aioe2e completion fish > ~/.config/fish/completions/aioe2e.fish",),
            "SHELL",
        ),
    ),
    aliases={"images": "image", "nodes": "node"},
    foreign={
        "demo": "Show what the library does, on an emulated account.",
        "emulator": "Serve an emulated account for any client.",
    },
    summary="Saved images of the E2E Networks cloud: list, save, rename, delete, rotate.",
    examples=(
        "aioe2e images list --emulator",
        "aioe2e images rotate --all --name 'nightly-{node}-{date}' --keep 7 --yes",
    ),
)

#: Options that may stand before the command, and whether a value follows.
_GLOBAL: Final = {
    "--profile": True,
    "--alias": True,
    "--project-id": True,
    "--location": True,
    "--base-url": True,
    "--timeout": True,
    "--color": True,
    "--output": True,
    "-o": True,
    "--emulator": False,
    "--json": False,
    "--quiet": False,
    "-q": False,
    "--verbose": False,
    "-v": False,
}
_EMULATED: Final = 200
#: A number of images; one below 0 is refused later on.
_NUMBER: Final = re.compile(r"-?\d+")


def main(
    words: Sequence[str],
    *,
    stdin: TextIO | None = None,
    stdout: TextIO | None = None,
    stderr: TextIO | None = None,
    environ: Mapping[str, str] | None = None,
) -> int:
    """Carry out a command line.

    Args:
        words: The command line without the program.
        stdin, stdout, stderr: The streams; by default those of the process.
        environ: What decides on colours and on where journals are kept.

    Returns:
        The exit code.
    """
    environ = os.environ if environ is None else environ
    out, err = stdout or sys.stdout, stderr or sys.stderr
    screen = Screen(out, err, environ, colour=_colour(words), verbose=_is_verbose(words))
    try:
        parsed = PARSER.parse(_arranged(words))
        if isinstance(parsed, str):
            screen.out.print(parsed)
            return Exit.OK
        with warnings_shown(screen):
            return asyncio.run(_carry_out(parsed, screen, stdin or sys.stdin, environ))
    except OutputLostError as error:
        if error.is_closed:
            return Exit.OK
        complain(screen, CommandError(f"the output cannot be written: {error}", Exit.FAILED))
        return Exit.FAILED
    except (CommandError, aioe2e.E2EError) as error:
        complain(screen, error)
        return code_of(error)
    except (asyncio.CancelledError, KeyboardInterrupt):
        screen.note("interrupted")
        return Exit.INTERRUPTED
    finally:
        _leave_alone(screen)


async def _carry_out(
    invocation: Invocation, screen: Screen, stdin: TextIO, environ: Mapping[str, str]
) -> Exit:
    task = asyncio.current_task()
    assert task is not None
    interrupts = Interrupts(task)
    with interrupts.installed():
        code = await invocation(Shell(PARSER, screen, stdin, environ, interrupts))
        return Exit.INTERRUPTED if interrupts.came else code


def _leave_alone(screen: Screen) -> None:
    """Drop what is still in the buffer of a stream that cannot be written."""
    for sink in (screen.out, screen.err):
        if sink.broken:
            quiet = os.open(os.devnull, os.O_WRONLY)
            os.dup2(quiet, sink.stream.fileno())
            os.close(quiet)


def _is_verbose(words: Sequence[str]) -> bool:
    return not {"-v", "--verbose"}.isdisjoint(words)


def _colour(words: Sequence[str]) -> str:
    """What ``--color`` says, before anything is parsed: errors of parsing are coloured, too."""
    for word, following in itertools.pairwise([*words, "auto"]):
        if word.startswith("--color="):
            return word.partition("=")[2]
        if word == "--color":
            return following
    return "auto"


def _arranged(words: Sequence[str]) -> list[str]:
    """Put options that stand before the command behind it, and a number to ``--emulator``."""
    options, arguments = _parted(words)
    rest = _numbered(options)
    front: list[str] = []
    while rest and _leading(rest):
        count = _leading(rest)
        front += rest[:count]
        rest = rest[count:]
    return [*rest, *front, *arguments]


def _parted(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words before ``--``, and the others with it."""
    if "--" not in words:
        return list(words), []
    place = words.index("--")
    return list(words[:place]), list(words[place:])


def _leading(words: Sequence[str]) -> int:
    """How many words the global option takes that stands first; 0 for anything else."""
    name, equals, _ = words[0].partition("=")
    if name not in _GLOBAL:
        return 0
    takes_next = _GLOBAL[name] and not equals
    return 2 if takes_next else 1


def _numbered(words: Sequence[str]) -> list[str]:
    """Write ``--emulator N`` as one word; without a number it means 200 images."""
    found: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--emulator":
            count = str(_EMULATED)
            if rest and _NUMBER.fullmatch(rest[0]):
                count = rest.pop(0)
            word = f"--emulator={count}"
        found.append(word)
    return found
