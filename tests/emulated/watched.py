"""Secrets for tests of what others can see, and where a secret stands in what they have kept."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import aioe2e

#: Both have characters that a query spells differently.
API_KEY = "k3y+of/the=account~0123456789"
TOKEN = "eyJhbGciOi.t0ken+of/the=user.9876543210"
CREDENTIALS = aioe2e.Credentials(api_key=API_KEY, auth_token=TOKEN)


def spellings(secret: str) -> Iterator[str]:
    """Plain, percent-encoded, and base64 wherever in the encoded text the secret begins."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield quote(quote(secret, safe=""), safe="")
    raw = secret.encode()
    for before in range(3):
        inner = base64.b64encode(b"-" * before + raw).decode()
        # The characters at both ends also depend on what stands around the secret.
        middle = inner[before + 1 if before else 0 : len(inner.rstrip("=")) - 1]
        yield middle
        yield middle.replace("+", "-").replace("/", "_")


_KNOWN = [spelling.lower() for secret in (API_KEY, TOKEN) for spelling in spellings(secret)]


def assert_no_secret(kept: object, where: str) -> None:
    """Neither API key nor token, in any spelling, in the text of what was kept."""
    text = kept if isinstance(kept, str) else repr(kept)
    shown = text.lower()
    for spelling in _KNOWN:
        place = shown.find(spelling)
        assert place < 0, f"{where}: …{text[max(0, place - 100) : place + 40]}…"
