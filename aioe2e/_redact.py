"""Keeps secrets, control characters and endless text out of everything that a person may read.

Servers echo requests: a refusal may hold the api key as it stood in the URL (percent-encoded), as it stood in a
header, or as JSON wrote it. `Redactor` knows every such spelling of the secrets of one session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote, quote_plus

#: Longest text of a server that an error shows, in characters.
LONGEST = 500
HIDDEN = "[hidden]"

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
#: Query parameters and headers that carry a secret even when it is none of this session's.
_CARRIERS = re.compile(r"(?i)(apikey=|x-api-key[\"']?\s*[:=]\s*[\"']?|bearer\s+)[^\s&\"'<>,;]+")


def _spellings(secret: str) -> Iterable[str]:
    """Every way in which a secret of printable ASCII may come back from a server."""
    yield secret
    yield quote(secret, safe="")
    yield quote(secret)
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret)[1:-1].replace("/", "\\/")
    yield repr(secret)[1:-1]


def escape(text: str) -> str:
    r"""Write control characters, text-direction marks and lone surrogates as escapes such as ``\x1b``."""
    return _UNPRINTABLE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def cut(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, with an ellipsis where some were left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


class Redactor:
    """Takes the secrets of one session out of any text."""

    __slots__ = ("_pattern", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Know one more secret (a token that was fetched later, for one)."""
        if secret and secret not in self._secrets:
            self._secrets.add(secret)
            # Case is folded because percent escapes are written both ways; the longest spelling goes first.
            spellings = sorted({s for known in self._secrets for s in _spellings(known)}, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, spellings)), re.IGNORECASE)

    def hide(self, text: str) -> str:
        """The text without secrets, whole and unescaped."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, text)
        return _CARRIERS.sub(lambda match: match[1] + HIDDEN, text)

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """The text as an error may show it: without secrets, escaped, cut.

        Secrets go first, over the whole text: a cut might leave half of one that no pattern knows.
        """
        # What is far beyond the cut is never shown, so it is not searched either; the margin keeps a secret
        # that straddles the cut whole.
        return cut(escape(self.hide(text[: longest + 20_000])), longest)

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"
