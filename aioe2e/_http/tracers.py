"""Which trace configs see the requests that go over a borrowed pool."""

from __future__ import annotations

from collections.abc import Sequence

import aiohttp

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
