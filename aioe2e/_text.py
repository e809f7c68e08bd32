"""What a person may read: no secrets, no control characters, no endless text; and text tables.

Servers echo requests: a refusal may hold the api key as it stood in the URL (percent-encoded), as
it stood in a header, or as JSON wrote it. `Redactor` knows every such spelling of the secrets of
one session.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any, cast
from urllib.parse import quote

#: Longest text of a server that an error shows, in characters.
LONGEST = 500
HIDDEN = "[hidden]"
#: Texts of fewer characters are remembered once they are cleaned, and so many of them.
_SHORT = 200
_MOST_CLEANED = 100
#: Levels of a reply that are looked through for secrets; what lies deeper is hidden whole.
_DEEPEST = 50

#: Compiled when a text first needs it, as most never do.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
#: Query parameters and headers that carry a secret even when it is none of this session's.
_CARRIERS = re.compile(r"(?i)(apikey=|x-api-key[\"']?\s*[:=]\s*[\"']?|bearer\s+)[^\s&\"'<>,;]+")


#: Characters before which JSON and Python may put backslashes.
_SLASHED = frozenset("/\"'")
#: What HTML has names for.
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def _spellings(secret: str) -> str:
    """A pattern for every way in which a secret of printable ASCII may come back.

    Any character may stand percent-encoded (which ones are is a matter of the encoder, and so is
    the case of the digits), as a JSON escape, or behind backslashes.
    """
    # Quantifiers are possessive (nothing is tried twice), so that no text can make the search long.
    return "".join(
        f"{_spelling(run[0])}{{{len(run)},}}+" if run[0] == "\\" else "".join(map(_spelling, run))
        for run in _RUNS.findall(secret)
    )


#: More backslashes than any encoding of a secret has; each would be searched for all that follow
#: it.
_LONG_RUN = re.compile(r"\\{64,}+")
#: A run of backslashes, or of anything else.
_RUNS = re.compile(r"\\+|[^\\]+")


def _spelling(c: str) -> str:
    code = f"{ord(c):02x}"
    slashes = r"\\*+" if c in _SLASHED else ""
    ways = [f"{slashes}{re.escape(c)}", f"%{code}", f"%25{code}", f"\\\\{{0,4}}+u00{code}"]
    if not c.isalnum():  # what a web page or a program writes in its place
        ways += [rf"&#0*+{ord(c)};", f"&#x0*+{code};", rf"\\{{1,4}}+x{code}"]
        ways += [f"&{_ENTITIES[c]};"] if c in _ENTITIES else []
    return f"(?:{'|'.join(ways)})"


def _common(secret: str) -> tuple[str, ...]:
    """How a reply echoes a secret: plain, percent-encoded, or as JSON or HTML writes it."""
    in_html = "".join(f"&{_ENTITIES[c]};" if c in _ENTITIES else c for c in secret)
    return secret, quote(secret, safe=""), json.dumps(secret)[1:-1], in_html


def escape(text: str) -> str:
    r"""Write control characters, direction marks and lone surrogates as escapes (``\x1b``)."""
    if text.isprintable():  # as most texts are; then none of them is in it
        return text
    return re.sub(
        _UNPRINTABLE, lambda match: match[0].encode("unicode_escape").decode("ascii"), text
    )


def shorten(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, with an ellipsis where some were left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of aligned columns; columns without a single value are left out.

    Names come from a server and go to a terminal, so control characters in them are escaped.
    """
    cells = [[escape("" if value is None else str(value)) for value in row] for row in rows]
    used = [column for column in range(len(header)) if any(row[column] for row in cells)]
    lines = [
        [header[column] for column in used],
        *([row[column] for column in used] for row in cells),
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class Redactor:
    """Takes the secrets of one session out of any text."""

    __slots__ = ("_cleaned", "_common", "_pattern", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        #: The spellings that an echo in a reply has, as bytes.
        self._common: tuple[bytes, ...] = ()
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
            self._common = tuple(
                dict.fromkeys(spelt.encode() for each in longest_first for spelt in _common(each))
            )

    def hide(self, text: str) -> str:
        """The text without secrets, whole and unescaped."""
        text = self._without_secrets(text)
        return _CARRIERS.sub(lambda match: match[1] + HIDDEN, text)

    def _without_secrets(self, text: str) -> str:
        return (
            text
            if self._pattern is None
            else self._pattern.sub(HIDDEN, _LONG_RUN.sub(r"\\" * 64, text))
        )

    def scrub(self, content: Any, body: bytes) -> Any:
        """What a reply says, without secrets: a server may echo a request in its success, too.

        Args:
            content: The parsed reply.
            body: The same as it came. Only where a secret stands in that is anything looked at.
        """
        for spelt in self._common:
            if spelt in body:
                return self._scrubbed(content, _DEEPEST)
        return content

    def _scrubbed(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._without_secrets(value)
        if not isinstance(value, dict | list):
            return value
        if not depth:
            return HIDDEN
        if isinstance(value, list):
            return [self._scrubbed(item, depth - 1) for item in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
        pairs = cast("dict[str, Any]", value)
        return {
            self._without_secrets(key): self._scrubbed(item, depth - 1)
            for key, item in pairs.items()
        }

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """The text as an error may show it: without secrets, escaped, cut.

        Secrets go first, over the whole text: a cut might leave half of one that no pattern knows.
        """
        if longest == LONGEST and (known := self._cleaned.get(text)) is not None:
            return known
        cleaned = shorten(escape(self.hide(text)), longest)
        if len(text) < _SHORT and longest == LONGEST:
            if len(self._cleaned) >= _MOST_CLEANED:
                self._cleaned.clear()
            self._cleaned[text] = cleaned
        return cleaned

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"
