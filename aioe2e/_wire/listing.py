"""A listing's reply: parsed, freed of secrets and made into models, a few elements at a time."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from aioe2e._text import Redactor

from .codec import ModelReader
from .json import parse_in_slices


def read_listing(
    body: bytes, model: type[Any] | None, most: int, redactor: Redactor
) -> Generator[None, None, Any]:
    """The reply as JSON whose ``data`` holds models, or an `Unreadable`.

    Args:
        body: The reply.
        model: What the elements are; None to leave them as they are.
        most: Elements at the most. Reading ends one after that, and also after the first few
            elements that are no such model.
        redactor: Takes out secrets that the server echoes.

    Yields:
        Whenever it is time to let others run.
    """
    read = _as_it_is if model is None else ModelReader(model, most)
    if not (yield from redactor.is_echoed(body)):
        return (yield from parse_in_slices(body, read))

    def read_clean(raw: Any) -> Any:
        return read(redactor.without_secrets(raw))

    content = yield from parse_in_slices(body, read_clean)
    return redactor.without_secrets(content)


def _as_it_is(raw: Any) -> Any:
    return raw
