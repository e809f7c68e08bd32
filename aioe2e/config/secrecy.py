"""How errors speak of settings: what may be a secret is described and never quoted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from aioe2e import _check
from aioe2e._text import Redactor, counted, escape, shorten

#: Below this, hiding a secret in texts would eat the texts.
SHORTEST_SECRET: Final = 6
#: Three parts of base64 with dots between them; the first is an object, so it begins with ``eyJ``.
#: This and the others are compiled when they are first needed.
_JWT: Final = r"(?a)eyJ[\w-]+\.[\w-]+\.[\w-]*"
#: Many hexadecimal digits: the form of older tokens.
_HEX: Final = r"(?i)(?=.*[a-f])(?=.*[0-9])[0-9a-f]{24,}"
_LONGEST_LABEL: Final = 40
QUOTES: Final = frozenset("\"'`")
#: The vendor's api keys are UUIDs.
_UUID: Final = r"(?i)[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"


def looks_like_token(text: str) -> bool:
    """Whether a text has the form of an auth token (a JWT)."""
    return re.fullmatch(_JWT, text) is not None


def looks_like_key(text: str) -> bool:
    """Whether a text has the form of an API key (a UUID)."""
    return re.fullmatch(_UUID, text) is not None


def looks_secret(text: str) -> bool:
    """Whether a text has the form of an API key or a token."""
    return any(re.fullmatch(form, text) for form in (_UUID, _JWT, _HEX))


def described(value: object) -> str:
    """What a refused value is, in words that show none of it: it may be a secret."""
    if isinstance(value, str):
        return _described_text(value)
    if isinstance(value, bool | int | float | None):
        return _check.quoted(value)
    return f"a value of type {type(value).__name__}"


def _described_text(text: str) -> str:
    if not text:
        return "an empty text"
    size = f"a text of {counted(len(text), 'character')}"
    if text[0] in QUOTES:
        return f"{size} that begins with a quotation mark"
    return size


def label(name: object) -> str:
    """A name that the user chose (of a profile, of a variable), as an error may show it."""
    if not isinstance(name, str) or looks_secret(name):
        return f"[{described(name)}]"
    return shorten(escape(_check.as_str(name)), _LONGEST_LABEL)


def redactor_of(values: Iterable[object]) -> Redactor:
    """A redactor for the values that may be secrets, whether they are usable or not."""
    texts = [value.strip() for value in values if isinstance(value, str)]
    words = [text.rpartition(" ")[2] for text in texts]
    return Redactor(
        text for text in (*texts, *words) if len(text) >= SHORTEST_SECRET and text.isascii()
    )


def settings_with_secrets(settings: Mapping[str, object], secrets: Iterable[object]) -> list[str]:
    """The names of the settings that contain a secret. They would show it in URLs and logs.

    Args:
        settings: By name.
        secrets: What is known to be secret.
    """
    redactor = redactor_of(secrets)
    return [
        name
        for name, value in settings.items()
        if isinstance(value, str) and redactor.hide(value) != value
    ]
