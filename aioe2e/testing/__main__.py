"""``python -m aioe2e.testing`` serves an emulated account until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from collections.abc import Sequence

from ._calls import DIALECTS
from ._faults import Faults
from ._server import FakeE2E


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m aioe2e.testing",
        description="Serve an emulated MyAccount image API on this machine, without any account.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=8400, help="port, 0 for any that is free (%(default)s)")
    parser.add_argument("--images", default="20", help="how many saved images, or a JSON file of them (%(default)s)")
    parser.add_argument("--nodes", default="5", help="how many nodes, or a JSON file of them (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is made up (%(default)s)")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that every reply takes (%(default)s)")
    parser.add_argument("--rps", type=float, help="requests per second before 429 (no limit)")
    parser.add_argument(
        "--faults", type=float, default=0.0, metavar="RATE", help="share of requests that fail (%(default)s)"
    )
    parser.add_argument(
        "--dialect", action="append", choices=DIALECTS, help="speak only this one; may be given several times (all)"
    )
    parser.add_argument("--save-seconds", type=float, default=5.0, help="how long a save takes (%(default)s)")
    return parser


def _source(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _greeting(fake: FakeE2E, options: argparse.Namespace) -> str:
    token = fake.credentials.auth_token
    return f"""\
{len(fake.images)} saved images and {len(fake.nodes)} nodes at
  {fake.url}
These credentials open nothing but this server:
  export E2E_API_KEY={fake.credentials.api_key}
  export E2E_AUTH_TOKEN={token}
  export E2E_PROJECT_ID={fake.project_id}
  export E2E_LOCATION={fake.location}
For e2ectl:
  export E2ECTL_MYACCOUNT_BASE_URL={fake.url.rstrip("/")}
By hand:
  curl -H 'Authorization: Bearer {token}' '{fake.url}images/saved-images/?apikey={fake.credentials.api_key}'
Faults: {options.faults:.0%} of the requests. Ctrl-C ends it."""


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        # Not on Windows; there Ctrl-C comes as KeyboardInterrupt.
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    fake = FakeE2E(
        _source(options.images),
        _source(options.nodes),
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
    except (OSError, TypeError, ValueError) as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
