"""Reads the envelope of a reply, ``{"code", "data", "errors", "message"}``, in all its forms."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from itertools import islice
from typing import Any, TypeGuard

from .json import is_array, is_object

#: Smaller numbers are no statuses, and larger ones count as this: whatever they mean, it is not
#: success.
_LEAST, _MOST = 100, 999_999
#: The keys of an envelope that hold a status.
_CODES = ("code", "status_code")


def envelope_codes(content: Any) -> list[int]:
    """The ``code`` and ``status_code`` of an envelope that are statuses.

    The server writes them as a number, an integral float, or three digits as text. Anything else is
    no status.
    """
    if not is_object(content):
        return []
    found = (_status(content.get(key)) for key in _CODES)
    return [status for status in found if status is not None]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be reckoned with."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_success(status: int | None) -> bool:
    return status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _status(value: object) -> int | None:
    if isinstance(value, str):
        if re.fullmatch(r"\s*[1-9]\d\d\s*", value, re.ASCII):
            return int(value)
        return None
    if is_number(value) and value >= _LEAST and value % 1 == 0:
        return int(min(value, _MOST))
    return None


#: The keys that the vendor documents, and those of the ``data`` of an accepted rename or delete.
_DOCUMENTED = frozenset({"code", "data", "errors", "message"})
_ACCEPTED = frozenset({"message", "status"})


def is_plain_success(content: Any) -> bool:
    """Whether an envelope is of the documented shape and all is well, as nearly every reply."""
    if not is_object(content) or content.get("code") != HTTPStatus.OK or content.get("errors"):
        return False
    data = content.get("data")
    if is_object(data):
        is_accepted = data.get("status", True) is True and data.keys() <= _ACCEPTED
        if not is_accepted:
            return False  # to be looked at more closely
    return content.keys() <= _DOCUMENTED


def says_failure(content: Any) -> bool:
    """Whether an envelope without an error code says that nothing was done."""
    if not is_object(content):
        return False
    if content.get("errors") or content.get("detail"):
        return True
    data = content.get("data")
    if not is_object(data):
        return False
    return data.get("status") is False or data.get("is_credit_sufficient") is False


#: What a ``status`` says in words where something went wrong.
_BAD_STATUSES = frozenset({"false", "error", "failed", "failure"})


def oddity(content: Any, *, of_image: bool) -> str:
    """What in an envelope that does not say failure is no success either; empty if nothing is.

    No source knows these forms. They prove nothing, so a write that is answered like this is looked
    for.

    Args:
        content: The envelope.
        of_image: Whether it answers an image action; a ``status`` in another reply may be that of
            anything.
    """
    if not is_object(content):
        return ""
    for key in _CODES:
        value = content.get(key)
        if value is not None and not _is_success(_status(value)):
            return f"$.{key}: not a known status"
    if content.get("error"):
        return "$.error: a success that speaks of an error"
    if content.get("success") is False:
        return "$.success: it is false"
    if of_image and _has_bad_status(content):
        return "$.status: a success that is none"
    return ""


def _has_bad_status(content: Mapping[str, Any]) -> bool:
    if _is_bad(content.get("status")):
        return True
    data = content.get("data")
    return is_object(data) and _is_bad(data.get("status"))


def _is_bad(status: object) -> bool:
    if isinstance(status, str):
        return status.strip().lower() in _BAD_STATUSES
    return status is False


def is_paged(content: Mapping[str, Any]) -> bool:
    """Whether a listing says that there is more than it shows.

    No source knows that of images, but other listings are paged.
    """
    pages = content.get("total_page_number")
    if is_number(pages) and pages > 1:
        return True
    total, shown = content.get("total_count"), content.get("data")
    return is_number(total) and is_array(shown) and total > len(shown)


def paging(content: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many elements and pages there are, where the envelope of a listing says it."""
    return _whole(content.get("total_count")), _whole(content.get("total_page_number"))


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"\d{1,18}", value, re.ASCII):
        return int(value)
    if is_number(value):
        return int(value)
    return None


def flatten(errors: Any, depth: int = 3) -> list[str]:
    """The sentences in an ``errors`` value of any shape: a few levels deep, at most two dozen."""
    return list(islice(_sentences(errors, depth), 24))


#: Keys that say nothing of their own about the sentence.
_SILENT = ("detail", "non_field_errors")


def _sentences(errors: Any, depth: int) -> Iterator[str]:
    if errors is None or isinstance(errors, bool):
        return
    parts = _parts(errors)
    if parts is None:
        yield str(errors)
    elif depth:
        for start, value in parts:
            yield from (f"{start}{sentence}" for sentence in _sentences(value, depth - 1))


def _parts(errors: Any) -> Iterator[tuple[str, Any]] | None:
    """The values of an object or array, each after the words that its sentences begin with."""
    if is_object(errors):
        return (("" if key in _SILENT else f"{key}: ", value) for key, value in errors.items())
    if is_array(errors):
        return (("", value) for value in errors)
    return None


def spoken(content: Mapping[str, Any]) -> str:
    """What an envelope says to a person: the first of its texts that says something."""
    data = content.get("data")
    texts = [
        _said(content.get("message")),
        _joined(content.get("detail")),
        _joined(content.get("errors")),
        _said(content.get("error")),
    ]
    if is_object(data):
        texts.append(_said(data.get("message")))
    return next(filter(None, texts), "")


def _joined(errors: object) -> str:
    return _said("; ".join(flatten(errors)))


def _said(text: object) -> str:
    """A text that says something; empty if it is none, or only says that all went well."""
    if not isinstance(text, str) or text.strip().lower() in ("success", "ok"):
        return ""
    return text.strip()


def greeting(content: Mapping[str, Any]) -> str:
    """The bare "Success" that most replies carry, for want of a better text."""
    message = content.get("message")
    if isinstance(message, str):
        return message
    return ""
