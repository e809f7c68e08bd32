"""The command line: ``aioe2e``, and ``python -m aioe2e``.

``demo`` and ``emulator`` need the library alone. All other commands are those of `aioe2e.cli`,
which needs the extra ``aioe2e[cli]``.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from types import FrameType
from typing import Any

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
    argparse = _loaded("argparse")
    text = "save, rename and delete images in bulk on an emulated account; never touches a real one"
    parser = argparse.ArgumentParser(prog="aioe2e demo", description=f"{text.capitalize()}.")
    parser.parse_args(arguments)
    # It brings the emulator and a web server along.
    status: int = _loaded("aioe2e._demo").main()
    return status


def _emulator(arguments: Sequence[str]) -> int:
    # What `python -m aioe2e.testing` runs; it brings a web server along.
    serve = _loaded("aioe2e.testing.__main__").main
    status: int = serve(arguments, prog="aioe2e emulator")
    return status


def _command(arguments: Sequence[str]) -> int:
    """A command of the extra, or what can be said without it."""
    if any(find_spec(name) is None for name in _EXTRA):
        return _without_extra(arguments)
    status: int = _loaded("aioe2e.cli").main(arguments)
    return status


#: What carries out the commands that need no extra.
_OWN: dict[str, Callable[[Sequence[str]], int]] = {"demo": _demo, "emulator": _emulator}


def _loaded(name: str) -> Any:
    """A module, imported now.

    Importing takes a good part of a second. Ctrl-C meanwhile ends the program at once: an exception
    could be raised anywhere in the import, and would be printed with its traceback.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return import_module(name)  # it is ignored (``nohup``), or the program handles it
    try:
        signal.signal(signal.SIGINT, _leave)
    except ValueError:  # not the main thread, which is the only one that signals reach
        return import_module(name)
    try:
        return import_module(name)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # a signal handler's
    os._exit(_INTERRUPTED)


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
    if words == ["--version"]:
        print(f"aioe2e {__version__}")
        return 0
    try:
        if words and words[0] in _OWN:
            return _OWN[words[0]](words[1:])
        return _command(words)
    except KeyboardInterrupt:  # what there was to say has been said
        return _INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
