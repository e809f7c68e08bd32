"""``python -m aioe2e``: the command line, which shows what the library does without an account."""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence

from ._version import __version__

#: What a shell expects of a program that Ctrl-C ended.
_INTERRUPTED = 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aioe2e",
        description="Asyncio client for the saved images of the E2E Networks cloud.",
        epilog="`python -m aioe2e.testing` serves the emulated account by itself, for other clients and for tests.",
    )
    parser.add_argument("--version", action="version", version=f"aioe2e {__version__}")
    commands = parser.add_subparsers(dest="command")
    text = "save, rename and delete images in bulk on an emulated account; never touches a real one"
    commands.add_parser("demo", help=text, description=f"{text.capitalize()}.")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program; ``sys.argv`` by default.

    Returns:
        The exit status: 0 if all went well, 1 if not, 130 after Ctrl-C.
    """
    parser = _parser()
    if parser.parse_args(arguments).command is None:
        parser.print_help()
        return 0
    import asyncio  # noqa: PLC0415  # for this command alone

    from ._demo import demo  # noqa: PLC0415  # brings the emulator and a web server along

    try:
        return 0 if asyncio.run(demo()) else 1
    except KeyboardInterrupt:
        gc.collect()  # a connection that was half made is let go of now, and not when half of Python is gone
        print(
            "\ninterrupted: the emulated account is gone, and nothing else was touched",
            file=sys.stderr,
        )
        return _INTERRUPTED


if __name__ == "__main__":
    raise SystemExit(main())
