"""Trace configs over a borrowed pool: the user's, and one that keeps time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp

from .request import sending

#: The signals that a tracer of requests listens to.
_SIGNALS = ("on_request_start", "on_request_end", "on_request_exception")


def without_twins(
    borrowed: Sequence[aiohttp.TraceConfig], added: Sequence[aiohttp.TraceConfig]
) -> list[aiohttp.TraceConfig]:
    """All of the borrowed session's configs, and of the others those that are not like one of them.

    A tool that watches all of aiohttp adds a config to each session that is made: to the user's,
    and to the one that stands before the user's pool. One request would be told twice.

    Args:
        borrowed: The configs of the user's session.
        added: Those that a tool has added to the library's own.
    """
    known = {_code(config) for config in borrowed}
    return [*borrowed, *(config for config in added if _code(config) not in known)]


def _code(config: aiohttp.TraceConfig) -> tuple[object, ...]:
    """What a config runs, whatever it was made with."""
    return tuple(
        getattr(callback, "__code__", callback)
        for signal in _SIGNALS
        for callback in getattr(config, signal)
    )


def line_watch() -> aiohttp.TraceConfig:
    """Stops the clock of an attempt while it stands in the line of a pool that has a limit."""
    config = aiohttp.TraceConfig()
    config.on_connection_queued_start.append(_stop_clock)
    config.on_connection_queued_end.append(_start_clock)
    config.freeze()
    return config


async def _stop_clock(*_: object) -> None:
    in_flight = sending.get()[1]
    in_flight.stop_clock(asyncio.get_running_loop().time())


async def _start_clock(*_: object) -> None:
    in_flight = sending.get()[1]
    in_flight.start_clock(asyncio.get_running_loop().time())
