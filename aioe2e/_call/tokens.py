"""The auth token: given once, or fetched from the user's callable, once for all who wait for it."""

from __future__ import annotations

import asyncio
import inspect

from aioe2e._text import Redactor
from aioe2e.config import TokenSource, checked_secret
from aioe2e.errors import ConfigError


class Tokens:
    """The current token of a session.

    Args:
        source: The token, or the callable that fetches one.
        redactor: Learns every token.
    """

    def __init__(self, source: str | TokenSource, redactor: Redactor) -> None:
        self._source = source
        #: Whether a new token may be had when one is refused.
        self.renewable: bool = not isinstance(source, str)
        self._redactor = redactor
        self._lock = asyncio.Lock()
        #: The current token; empty until there is one.
        self.current: str = ""
        #: How many tokens there were. Calls wait with this in hand, and not with a token, which
        #: a tool that records the variables of waiting functions would keep.
        self._number = 0
        if isinstance(source, str):
            self._take(source)

    def _take(self, token: str) -> None:
        self._redactor.add(token)
        self.current = token
        self._number += 1

    async def get(self, stale: int | None = None) -> int:
        """Have a token in `current`; a new one if the one of the number `stale` still stands there.

        Returns:
            The number of that token.

        Raises:
            ConfigError: The callable failed, or what it returned is no token.
        """
        if not self._is_fresh(stale):
            async with self._lock:
                if not self._is_fresh(stale):  # else another call has fetched it meanwhile
                    await self._fetch()
        return self._number

    def _is_fresh(self, stale: int | None) -> bool:
        return bool(self.current) and self._number != stale

    async def _fetch(self) -> None:
        if isinstance(self._source, str):
            return
        failure = ""
        found: object = None
        try:
            found = self._source()
            if not inspect.isawaitable(found):
                raise ConfigError("the auth_token callable must be async: it returned no awaitable")
            token = checked_secret(
                "the token that auth_token() returned", await found, is_token=True
            )
        except ConfigError as error:
            failure = str(error)
        except Exception as error:  # noqa: BLE001  # the user's code; its text may hold the secret
            failure = f"the auth_token callable failed with {type(error).__name__}"
        else:
            self._take(token)
            return
        del found  # the traceback keeps this frame, and a future shows its result
        raise ConfigError(failure)
