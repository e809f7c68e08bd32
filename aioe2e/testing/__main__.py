"""``python -m aioe2e.testing`` serves an emulated account until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import signal
from collections.abc import Callable, Sequence
from typing import TypeVar

from aioe2e.errors import UsageError
from aioe2e.testing.faults import Faults
from aioe2e.testing.net import DIALECTS

from . import _checks as checks
from .fake import FakeE2E

_T = TypeVar("_T")


def _number(check: Callable[[str, float], float]) -> Callable[[str], float]:
    """A type of argument: a number that a check lets pass."""
    return lambda text: _argument(text, float, lambda number: check("it", number))


def _whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """A type of argument: a whole number."""
    return lambda text: _argument(
        text, int, lambda number: checks.whole("it", number, least=least, most=most)
    )


def _argument(text: str, read: Callable[[str], _T], check: Callable[[_T], _T]) -> _T:
    try:
        return check(read(text))
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"it must be a number, not {text!r}") from None


def _rate(name: str, value: float) -> float:
    if not checks.is_number(value) or value <= 0:
        checks.refuse(name, "a number above 0", value)
    return value


def _source(text: str) -> int | str:
    """A number, or else the name of a file."""
    try:
        count = int(text)
    except ValueError:
        return text
    return _argument(text, int, lambda _: checks.whole("it", count))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aioe2e.testing",
        description="Serve an emulated MyAccount image API on this machine, without any account.",
    )
    seconds = _number(checks.seconds)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add(
        "--port",
        type=_whole(0, 65535),
        default=8400,
        help="port, 0 for any that is free (%(default)s)",
    )
    add(
        "--images",
        type=_source,
        default=20,
        help="how many saved images, or a JSON file of them (%(default)s)",
    )
    add(
        "--nodes",
        type=_source,
        default=5,
        help="how many nodes, or a JSON file of them (%(default)s)",
    )
    add("--seed", type=int, default=0, help="of everything that is made up (%(default)s)")
    add("--latency", type=seconds, default=0.0, help="seconds that every reply takes (%(default)s)")
    add("--rps", type=_number(_rate), help="requests per second before 429 (no limit)")
    add(
        "--faults",
        type=_number(checks.share),
        default=0.0,
        metavar="RATE",
        help="share of requests that fail, 0 to 1 (%(default)s)",
    )
    add(
        "--dialect",
        action="append",
        choices=DIALECTS,
        help="speak only this one; may be given several times (all)",
    )
    add("--save-seconds", type=seconds, default=5.0, help="how long a save takes (%(default)s)")
    return parser


def _greeting(fake: FakeE2E, options: argparse.Namespace) -> str:
    token, key = fake.credentials.auth_token, fake.credentials.api_key
    return f"""\
{len(fake.images)} saved images and {len(fake.nodes)} nodes at
  {fake.url}
These credentials open nothing but this server:
  export E2E_API_KEY={fake.credentials.api_key}
  export E2E_AUTH_TOKEN={token}
  export E2E_PROJECT_ID={fake.project_id}
  export E2E_LOCATION={fake.location}
For this library, with these set (without base_url it would go to the real API):
  aioe2e.Session.from_env(base_url="{fake.url}")
For e2ectl:
  export E2ECTL_MYACCOUNT_BASE_URL={fake.url.rstrip("/")}
By hand:
  curl -H 'Authorization: Bearer {token}' \\
    '{fake.url}images/saved-images/?apikey={key}'
Faults: {100 * options.faults:g}% of the requests. Ctrl-C ends it."""


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows; there Ctrl-C comes as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    fake = FakeE2E(
        options.images,
        options.nodes,
        seed=options.seed,
        latency=options.latency,
        requests_per_second=options.rps,
        faults=Faults.random(options.faults, seed=options.seed),
        dialects=options.dialect,
        host=options.host,
        port=options.port,
        keep_calls=1000,
        save_seconds=options.save_seconds,
    )
    async with fake:
        print(_greeting(fake, options), flush=True)
        await stop.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop.

    Args:
        arguments: The command line without the program; ``sys.argv`` by default.

    Returns:
        The exit status: 0, or 2 for an address, a file or a value that is no good.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            parser.error(f"{error.strerror}; --port 0 takes any that is free")
        parser.error(
            f"{error.filename}: {error.strerror}"
            if error.filename
            else error.strerror or str(error)
        )
    except UsageError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
