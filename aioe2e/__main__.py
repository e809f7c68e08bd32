"""The command line: ``aioe2e``, and ``python -m aioe2e``.

``demo`` and ``emulator`` need the library alone. All other commands are those of `aioe2e.cli`,
which needs the extra ``aioe2e[cli]``.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

from ._version import __version__

#: What a shell expects of a program that Ctrl-C ended.
_INTERRUPTED = 130
#: The exit code for a setting, or an extra, that is missing.
_CONFIGURATION = 4
#: What the extra brings.
_EXTRA = ("cyclopts", "rich")

_HELP_WITHOUT_EXTRA = """\
usage: aioe2e [--version] {demo,emulator} ...

Asyncio client for the saved images of the E2E Networks cloud.

  demo      save, rename and delete images in bulk on an emulated account
  emulator  serve an emulated account for any client

The commands for images and nodes need an extra: python -m pip install 'aioe2e[cli]'"""


def _demo(arguments: Sequence[str]) -> int:
    text = "save, rename and delete images in bulk on an emulated account; never touches a real one"
    parser = argparse.ArgumentParser(prog="aioe2e demo", description=f"{text.capitalize()}.")
    parser.parse_args(arguments)
    import asyncio  # noqa: PLC0415  # for this command alone

    from ._demo import demo  # noqa: PLC0415  # brings the emulator and a web server along

    try:
        return 0 if asyncio.run(demo()) else 1
    except KeyboardInterrupt:
        # A connection that was half made is let go of now, and not when half of Python is gone.
        gc.collect()
        print(
            "\ninterrupted: the emulated account is gone, and nothing else was touched",
            file=sys.stderr,
        )
        return _INTERRUPTED


def _emulator(arguments: Sequence[str]) -> int:
    # What `python -m aioe2e.testing` runs; it brings a web server along.
    status: int = import_module("aioe2e.testing.__main__").main(arguments, prog="aioe2e emulator")
    return status


def _command(arguments: Sequence[str]) -> int:
    """A command of the extra, or what can be said without it."""
    if any(find_spec(name) is None for name in _EXTRA):
        return _without_extra(arguments)
    from .cli import main as run  # noqa: PLC0415  # needs the extra

    return run(arguments)


def _without_extra(arguments: Sequence[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        print(_HELP_WITHOUT_EXTRA)
        return 0
    print(
        f"Error: `aioe2e {arguments[0]}` needs the extra aioe2e[cli]\n"
        "Next step: python -m pip install 'aioe2e[cli]'",
        file=sys.stderr,
    )
    return _CONFIGURATION


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program; ``sys.argv`` by default.

    Returns:
        The exit status; `aioe2e.cli` has the table of its meanings.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["demo"]:
        return _demo(words[1:])
    if words[:1] == ["emulator"]:
        return _emulator(words[1:])
    if words == ["--version"]:
        print(f"aioe2e {__version__}")
        return 0
    return _command(words)


if __name__ == "__main__":
    raise SystemExit(main())
