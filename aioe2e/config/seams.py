"""What processes that share an account can be given: a limiter and a guard, as protocols."""

from __future__ import annotations

import hashlib
import inspect
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, runtime_checkable

from aioe2e.errors import ConfigError

from .values import Credentials

__all__ = ["Guard", "Limiter", "PerAccount", "checked_guard", "checked_limiter"]


class Limiter(Protocol):
    """The interface of an object that paces the requests of all sessions that use it.

    The sessions may be in several processes. Before each request a session waits for the end of a
    pause, then for the limiter's turn, then for a slot. Then the time of the attempt starts. Every
    request takes a turn: retries, listings, and the second method after a 405.

    If a limiter raises, the call ends before the request is sent, with a `ConfigError` that names
    the exception. In a run, the step is SKIPPED. `aioe2e.fleet.RedisLimiter` never raises.

    A limiter may have an attribute ``mode``, a word that `LimiterEvent` reports. It may have a
    method ``for_account(account)`` that returns the limiter for an account, given a hash of its API
    key.
    """

    async def acquire(self, weight: int = 1) -> None:
        """Wait until one request may be sent. A cancelled wait must not use up a turn.

        Args:
            weight: The number of requests to count it as.
        """
        ...

    def throttled(self, seconds: float) -> None:
        """Let no request go for a while, because the server throttled one. Must not block.

        Args:
            seconds: How long nothing may be sent, from now on.
        """
        ...


class Guard(Protocol):
    """The interface of an object that lets one writer at a time change an image, across processes.

    If a guard raises on entering, the call ends before anything is sent, with `GuardError`. In a
    run, the step is SKIPPED. An exception on leaving is logged, and the call ends as the server's
    reply decides. A guard may have a method ``for_account(account)`` that returns the guard for an
    account, given a hash of its API key.
    """

    def hold(self, image: str, /) -> AbstractAsyncContextManager[None]:
        """Return a context manager in which the caller is the only writer of an image.

        Args:
            image: The image's id.
        """
        ...


@runtime_checkable
class PerAccount(Protocol):
    """A limiter or guard that keeps accounts apart."""

    def for_account(self, account: str) -> Any:
        """What a session of an account uses in its place.

        Args:
            account: A hash of the session's API key: sixteen hexadecimal digits.
        """
        ...


def checked_limiter(limiter: Any, credentials: Credentials) -> Limiter | None:
    """The limiter for the account.

    Raises:
        ConfigError: It lacks a method, or `throttled` is async.
    """
    if limiter is None:
        return None
    if not _has_methods(limiter, "acquire", "throttled"):
        raise ConfigError(
            "limiter must have the methods acquire and throttled (aioe2e.Limiter), and"
            f" {_kind(limiter)} does not"
        )
    if inspect.iscoroutinefunction(limiter.throttled):
        raise ConfigError("limiter.throttled must not be async: it is called and not awaited")
    found: Limiter = _for_account(limiter, credentials)
    return found


def checked_guard(guard: Any, credentials: Credentials) -> Guard | None:
    """The guard for the account.

    Raises:
        ConfigError: It lacks the method.
    """
    if guard is None:
        return None
    if not _has_methods(guard, "hold"):
        raise ConfigError(
            f"guard must have the method hold (aioe2e.Guard), and {_kind(guard)} does not"
        )
    found: Guard = _for_account(guard, credentials)
    return found


def _has_methods(value: object, *names: str) -> bool:
    """Whether an object, not a class, has these methods."""
    if isinstance(value, type):
        return False
    return all(callable(getattr(value, name, None)) for name in names)


def _kind(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__} (an object of it is needed)"
    return f"a value of type {type(value).__name__}"


def _for_account(seam: Any, credentials: Credentials) -> Any:
    if not isinstance(seam, PerAccount):
        return seam
    # The key has no variable of its own: the traceback of an error keeps this frame.
    digest = hashlib.sha256(b"aioe2e account " + credentials.api_key.encode()).hexdigest()
    return seam.for_account(digest[:16])
