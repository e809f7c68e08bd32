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
        self._token: str | None = None
        if isinstance(source, str):
            self._token = source
            redactor.add(source)

    async def get(self, stale: str | None = None) -> str:
        """The current token; a new one if the current one is `stale`.

        Raises:
            ConfigError: The callable failed, or what it returned is no token.
        """
        if self._token is not None and self._token != stale:
            return self._token
        async with self._lock:
            if self._token is None or self._token == stale:
                self._token = await self._fetch()
            return self._token

    async def _fetch(self) -> str:
        if isinstance(self._source, str):
            return self._source
        failure = ""
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
            self._redactor.add(token)
            return token
        raise ConfigError(failure)
