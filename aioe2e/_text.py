"""Text for people: without secrets, without control characters, short; and text tables.

Servers echo requests: a refusal may contain the API key as it was in the URL (percent-encoded), in
a header, or in JSON. `Redactor` finds the secrets of one session in all these spellings.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, cast
from urllib.parse import quote

#: Characters of a server's text that an error shows at the most.
LONGEST = 500
HIDDEN = "[hidden]"
#: Texts shorter than this are remembered once they are cleaned; and how many of them.
_SHORT = 200
_MOST_CLEANED = 100
#: Characters of a server's text that are searched to show `LONGEST` of them: hidden secrets make it
#: shorter.
_LOOKED_AT = 4 * LONGEST
#: Characters in which long runs of backslashes are shortened before that.
_WINDOW = 64 * 1024
#: Bytes that are searched for a secret between two yields.
_SEARCHED = 1024 * 1024
#: Levels of a reply that are cleaned; what is nested deeper is hidden as a whole.
_DEEPEST = 50

# Patterns are compiled when a text first needs them, so that an import does not wait for them.
_UNPRINTABLE = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
#: Query parameters and headers that carry a secret, even if it is not one of this session.
_CARRIERS = r"(?i)(apikey=|x-api-key[\"']?\s*[:=]\s*[\"']?|bearer\s+)[^\s&\"'<>,;]+"
#: More backslashes than any encoding of a secret has.
_LONGEST_RUN = 64
_LONG_RUN = rf"\\{{{_LONGEST_RUN},}}+"
#: A run of backslashes, or of anything else.
_RUNS = r"\\+|[^\\]+"

#: Characters before which JSON and Python may put backslashes.
_SLASHED = frozenset("/\"'")
#: Characters with a name in HTML.
_ENTITIES = {"&": "amp", "<": "lt", ">": "gt", '"': "quot", "'": "apos"}


def _spellings(secret: str) -> str:
    """A pattern for every spelling in which a secret of printable ASCII may come back.

    Any character may be percent-encoded (encoders differ in which, and in the case of the digits),
    written as a JSON escape, or preceded by backslashes.
    """
    # Quantifiers are possessive (nothing is tried twice), so that no text can make the search long.
    return "".join(
        f"{_spelling(run[0])}{{{len(run)},}}+" if run[0] == "\\" else "".join(map(_spelling, run))
        for run in re.findall(_RUNS, secret)
    )


def _spellings_of_base64(core: str) -> str:
    """The same for base64, whose letters and digits no encoder touches."""
    return "".join(c if c.isalnum() else _spelling(c) for c in core)


def _spelling(c: str) -> str:
    code = f"{ord(c):02x}"
    slashes = r"\\*+" if c in _SLASHED else ""
    ways = [f"{slashes}{re.escape(c)}", f"%{code}", f"%25{code}", f"\\\\{{0,4}}+u00{code}"]
    if not c.isalnum():  # what a web page or a program writes in its place
        ways += [rf"&#0{{0,8}}+{ord(c)};", f"&#x0{{0,8}}+{code};", rf"\\{{1,4}}+x{code}"]
        ways += [f"&{_ENTITIES[c]};"] if c in _ENTITIES else []
    return f"(?:{'|'.join(ways)})"


def _longest_spelling(secret: str) -> int:
    """The characters that the longest spelling of a secret has."""
    return sum(_LONGEST_RUN + 2 if c in _SLASHED or c == "\\" else 16 for c in secret)


def _in_base64(secret: str) -> list[str]:
    """The spellings of a secret in base64, at any position of the encoded text.

    Three characters become four, so a secret can begin at three offsets. Encoded characters that
    also depend on its neighbours are left out. There are two alphabets.
    """
    found: list[str] = []
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + secret.encode()).decode()
        first, end = -(-before * 8 // 6), (before + len(secret.encode())) * 8 // 6
        core = encoded[first:end]
        found += [core, core.replace("+", "-").replace("/", "_")]
    return list(dict.fromkeys(found))


def _pattern_of(secrets: Iterable[str]) -> re.Pattern[str]:
    """A pattern for any of some secrets in any spelling; the first that matches wins."""
    spelt: list[str] = []
    beginnings = {"%", "\\", "&"}
    for secret in secrets:
        spelt.append(_spellings(secret))
        beginnings.add(secret[0])
        for core in _in_base64(secret):
            # Then the character that the secret shares with its neighbour, and the padding.
            spelt.append(_spellings_of_base64(core) + "[A-Za-z0-9+/_-]?(?:=|%3d){0,2}+")
            beginnings.add(core[0])
    # Only few characters can begin one of them: all others are skipped at once.
    can_begin = "".join(map(re.escape, sorted(beginnings)))
    return re.compile(f"(?=[{can_begin}])(?:{'|'.join(spelt)})", re.IGNORECASE)


def _common(secret: str) -> tuple[str, ...]:
    """How a reply echoes a secret: plain, percent-encoded, as JSON or HTML writes it, in base64."""
    in_html = "".join(f"&{_ENTITIES[c]};" if c in _ENTITIES else c for c in secret)
    in_json = json.dumps(secret)[1:-1]
    return secret, quote(secret, safe=""), in_json, in_html, *_in_base64(secret)


def escape(text: str) -> str:
    r"""Write control characters, direction marks and lone surrogates as escapes (``\x1b``)."""
    if text.isprintable():  # as most texts are; then it has none of them
        return text
    return re.sub(
        _UNPRINTABLE, lambda match: match[0].encode("unicode_escape").decode("ascii"), text
    )


def shorten(text: str, longest: int = LONGEST) -> str:
    """At most `longest` characters of a text, with an ellipsis where some were left out."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of aligned columns; columns without a single value are left out.

    Control characters are escaped: names come from a server and go to a terminal.
    """
    lines = [header, *(map(_cell, row) for row in rows)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    padded = [map(str.ljust, column, repeat(max(map(len, column)))) for column in columns]
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def _cell(value: object) -> str:
    if value is None:
        return ""
    return escape(str(value))


def counted(number: int, noun: str) -> str:
    """A number with its noun: ``1 step``, ``2 steps``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _without_long_runs(text: str) -> str:
    """A text whose runs of backslashes are no longer than the pattern of a secret may be asked for.

    Each backslash of a longer one would be searched for all that follow.
    """
    return re.sub(_LONG_RUN, r"\\" * _LONGEST_RUN, text)


def _without_carried(text: str) -> str:
    """A text without the secrets that parameters and headers in it carry."""
    return re.sub(_CARRIERS, lambda match: match[1] + HIDDEN, text)


class Redactor:
    """Removes the secrets of one session from any text."""

    __slots__ = ("_cleaned", "_common", "_patterns", "_room", "_secrets")

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        #: The longest first, as one secret may begin with another.
        self._secrets: list[str] = []
        #: By number of secrets: the pattern of the shortest ones.
        self._patterns: dict[int, re.Pattern[str]] = {}
        #: The length of the longest spelling of a secret.
        self._room = 0
        #: The spellings that an echo in a reply may have, as bytes.
        self._common: tuple[bytes, ...] = ()
        #: Cleaned texts, as a server sends the same few sentences thousands of times.
        self._cleaned: dict[str, str] = {}
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str) -> None:
        """Add a secret (such as a token that was fetched later)."""
        if secret and secret not in self._secrets:
            self._secrets = sorted([*self._secrets, secret], key=len, reverse=True)
            self._cleaned.clear()
            self._patterns.clear()
            self._room = max(map(_longest_spelling, self._secrets))
            self._common = tuple(
                dict.fromkeys(spelt.encode() for each in self._secrets for spelt in _common(each))
            )

    def _pattern_for(self, text: str) -> re.Pattern[str] | None:
        """A pattern of the secrets that a text has room for; None if it has room for none.

        No spelling is shorter than its secret. The pattern is made when a text first needs it: that
        of a long token takes a tenth of a second, and few texts are as long as the token.
        """
        fitting = [secret for secret in self._secrets if len(secret) <= len(text)]
        if not fitting:
            return None
        known = self._patterns.get(len(fitting))
        if known is None:
            known = self._patterns[len(fitting)] = _pattern_of(fitting)
        return known

    def hide(self, text: str) -> str:
        """The text without secrets, whole and unescaped."""
        return _without_carried(self._without_secrets(text))

    def _without_secrets(self, text: str) -> str:
        pattern = self._pattern_for(text)
        if pattern is None:
            return text
        return pattern.sub(HIDDEN, _without_long_runs(text))

    def scrub(self, content: Any, body: bytes) -> Any:
        """The content of a small reply without secrets: even a success may echo the request.

        Args:
            content: The parsed reply.
            body: Its bytes. The content is cleaned only if they contain a secret.
        """
        for spelt in self._common:
            if spelt in body:
                return self.without_secrets(content)
        return content

    def without_secrets(self, content: Any) -> Any:
        """Small parsed JSON without secrets."""
        return self._scrubbed(content, _DEEPEST)

    def is_echoed(self, body: bytes) -> Generator[None, None, bool]:
        """Whether the bytes of a reply contain a secret in a spelling of an echo.

        Yields:
            When it is time to let other tasks run.
        """
        longest = max(map(len, self._common), default=0)
        for start in range(0, len(body), _SEARCHED):
            if start:
                yield
            end = start + _SEARCHED + longest
            if any(body.find(spelt, start, end) >= 0 for spelt in self._common):
                return True
        return False

    def _scrubbed(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._without_secrets(value)
        if not isinstance(value, dict | list):
            return value
        if not depth:
            return HIDDEN
        if isinstance(value, list):
            items = cast("Sequence[Any]", value)
            return [self._scrubbed(item, depth - 1) for item in items]
        pairs = cast("Mapping[str, Any]", value)
        return {
            self._without_secrets(key): self._scrubbed(item, depth - 1)
            for key, item in pairs.items()
        }

    def clean(self, text: str, longest: int = LONGEST) -> str:
        """The text as an error may show it: without secrets, escaped, short.

        Only the beginning of a long text is searched; a secret at its end is not shown in part.
        """
        if longest != LONGEST:
            return self._cleaned_to(longest, text)
        known = self._cleaned.get(text)
        if known is not None:
            return known
        cleaned = self._cleaned_to(longest, text)
        if len(text) < _SHORT:
            self._remember(text, cleaned)
        return cleaned

    def _cleaned_to(self, longest: int, text: str) -> str:
        return shorten(escape(self._beginning(text)), longest)

    def _remember(self, text: str, cleaned: str) -> None:
        if len(self._cleaned) >= _MOST_CLEANED:
            self._cleaned.clear()
        self._cleaned[text] = cleaned

    def _beginning(self, text: str) -> str:
        """The beginning of a text without secrets; all of a short one."""
        room = self._room
        if len(text) <= _LOOKED_AT + room:
            return self.hide(text)
        window = _without_long_runs(text[: _WINDOW + room])[: _LOOKED_AT + room]
        # A secret that begins before this ends within the window.
        end = max(0, len(window) - room)
        parts: list[str] = []
        begin = 0
        pattern = self._pattern_for(window)
        for match in pattern.finditer(window) if pattern is not None else ():
            if match.start() >= end:
                break
            parts += [window[begin : match.start()], HIDDEN]
            begin = match.end()
        parts.append(window[begin : max(begin, end)])
        return _without_carried("".join(parts)) + "…"

    def __repr__(self) -> str:
        return f"Redactor({len(self._secrets)} secrets)"
