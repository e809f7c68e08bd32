"""Keeps secrets, control characters and endless text out of everything that a person may read.

Servers echo requests: a refusal may hold the api key as it stood in the URL (percent-encoded), as it stood in a
header, or as JSON wrote it. `Redactor` knows every such spelling of the secrets of one session.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: Longest text of a server that an error shows, in characters.
LONGEST = 500
HIDDEN = "[hidden]"
#: Texts of fewer characters are remembered once they are cleaned, and so many of them.
_SHORT = 200
_MOST_CLEANED = 100

#: Compiled when a text first needs it, as most never do.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
#: Query parameters and headers that carry a secret even when it is none of this session's.
_CARRIERS = re.compile(r"(?i)(apikey=|x-api-key[\"']?\s*[:=]\s*[\"']?|bearer\s+)[^\s&\"'<>,;]+")


#: Characters before which JSON and Python may put backslashes.
_SLASHED = frozenset("/\"'")


def _spellings(secret: str) -> str:
    """A pattern for every way in which a secret of printable ASCII may come back, character by character.

    Any character may stand percent-encoded (which ones are is a matter of the encoder, and so is the case of the
    digits), as a JSON escape, or behind backslashes.
    """
    # Quantifiers are possessive (nothing is tried twice), so that no text can make the search long.
    return "".join(
        f"{_spelling(run[0])}{{{len(run)},}}+" if run[0] == "\\" else "".join(map(_spelling, run))
        for run in _RUNS.findall(secret)
    )


#: More backslashes than any encoding of a secret has; each would be searched for all that follow it.
_LONG_RUN = re.compile(r"\\{64,}+")
#: A run of backslashes, or of anything else.
_RUNS = re.compile(r"\\+|[^\\]+")


def _spelling(c: str) -> str:
    code = f"{ord(c):02x}"
    slashes = r"\\*+" if c in _SLASHED else ""
    return f"(?:{slashes}{re.escape(c)}|%{code}|%25{code}|\\\\{{0,4}}+u00{code})"


def escape(text: str) -> str:
    r"""Write control characters, text-direction marks and lone surrogates as escapes such as ``\x1b``."""
    if text.isprintable():  # as most texts are; then none of them is in it
        return text
    return re.sub(_UNPRINTABLE, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def cut(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, with an ellipsis where some were left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


class Redactor:
    """Takes the secrets of one session out of any text."""

    __slots__ = ("_cleaned", "_pattern", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        #: A server says the same few sentences thousands of times.
        self._cleaned: dict[str, str] = {}
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Know one more secret (a token that was fetched later, for one)."""
        if secret and secret not in self._secrets:
            self._secrets.add(secret)
            self._cleaned.clear()
            # The longest first: one secret may begin like another.
            longest_first = sorted(self._secrets, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_spellings, longest_first)), re.IGNORECASE)

    def hide(self, text: str) -> str:
        """The text without secrets, whole and unescaped."""
        if self._pattern is not None:
            text = self._pattern.sub(HIDDEN, _LONG_RUN.sub(r"\\" * 64, text))
        return _CARRIERS.sub(lambda match: match[1] + HIDDEN, text)

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """The text as an error may show it: without secrets, escaped, cut.

        Secrets go first, over the whole text: a cut might leave half of one that no pattern knows.
        """
        if longest == LONGEST and (known := self._cleaned.get(text)) is not None:
            return known
        cleaned = cut(escape(self.hide(text)), longest)
        if len(text) < _SHORT and longest == LONGEST:
            if len(self._cleaned) >= _MOST_CLEANED:
                self._cleaned.clear()
            self._cleaned[text] = cleaned
        return cleaned

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"
