"""``python -m aioe2e.testing`` serves an emulated account until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import signal
import textwrap
from collections.abc import Sequence

from aioe2e.errors import UsageError
from aioe2e.testing.faults import KINDS

from ._options import keywords_of, parser_of
from .fake import FakeE2E


def greeting_of(fake: FakeE2E, options: argparse.Namespace) -> str:
    """Where the account is, and how each known client is pointed at it.

    Args:
        fake: The account; it is running.
        options: The command line.
    """
    key, token = fake.credentials.api_key, fake.credentials.auth_token
    url = fake.url.rstrip("/")
    environment = fake.environment
    exports = "\n".join(f"  export {name}={value}" for name, value in environment.items())
    without_version = environment["E2E_MYACCOUNT_BASE_URL"]
    return f"""\
{len(fake.images)} saved images and {len(fake.nodes)} nodes at
  {fake.url}
These credentials open nothing but this server. This library and its command
line read them, and so do the examples:
{exports}
  aioe2e.Session.from_env()
The MCP server reads the same five. e2ectl reads the first four and
  export E2ECTL_MYACCOUNT_BASE_URL={url}
e2e-cli has its address in e2e_cli/core/constants.py:
  BASE_URL = "{without_version}/"
By hand:
  curl -H 'Authorization: Bearer {token}' \\
    '{fake.url}images/saved-images/?apikey={key}'
Faults: {100 * options.faults:g}% of the requests{_more(options)}. Ctrl-C ends it."""


def _more(options: argparse.Namespace) -> str:
    return f", and {len(options.fault)} of one kind" if options.fault else ""


def _print_faults() -> None:
    for name, kind in KINDS.items():
        print(name)
        print(textwrap.indent(textwrap.fill(kind.summary, 74), "    "))


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows; there Ctrl-C comes as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    fake = FakeE2E(**keywords_of(options))
    async with fake:
        print(greeting_of(fake, options), flush=True)
        await stop.wait()


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m aioe2e.testing") -> int:
    """Serve until stopped by a signal.

    Args:
        arguments: The command line without the program; ``sys.argv`` by default.
        prog: How the help and the errors call the command.

    Returns:
        The exit status: 0.

    Raises:
        SystemExit: With status 2, for an address, a file or a value that is no good; with 0 after
            ``--help``.
    """
    parser = parser_of(prog)
    options = parser.parse_args(arguments)
    if options.list_faults:
        _print_faults()
        return 0
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except OSError as error:
        parser.error(_explained(error))
    except UsageError as error:
        parser.error(str(error))
    return 0


def _explained(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{error.strerror}; --port 0 takes any that is free"
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    return error.strerror or str(error)


if __name__ == "__main__":
    raise SystemExit(main())
