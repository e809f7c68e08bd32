"""Reads the envelope of a reply, ``{"code", "data", "errors", "message"}``, in all the forms in
which it was seen.
"""

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


def envelope_codes(content: Any) -> list[int]:
    """The ``code`` and ``status_code`` of an envelope that are statuses.

    The server writes them as a number, an integral float, or three digits as text. Anything else is
    no status.
    """
    if not is_object(content):
        return []
    values = (content.get("code"), content.get("status_code"))
    return [
        status for value in values if value is not None and (status := _status(value)) is not None
    ]


def is_number(value: object) -> TypeGuard[float]:
    """Whether a JSON value is a number that can be reckoned with."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def _is_success(status: int | None) -> bool:
    return status is not None and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES


def _status(value: object) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*[1-9]\d\d\s*", value, re.ASCII) else None
    if (
        not isinstance(value, int | float)
        or isinstance(value, bool)
        or not value >= _LEAST
        or value % 1
    ):
        return None  # NaN and infinity among them
    return int(min(value, _MOST))


#: The keys that the vendor documents, and those of the ``data`` of an accepted rename or delete.
_DOCUMENTED = frozenset({"code", "data", "errors", "message"})
_ACCEPTED = frozenset({"message", "status"})


def is_plain_success(content: Any) -> bool:
    """Whether an envelope is of the documented shape and all is well: what nearly every reply
    is.
    """
    if not is_object(content) or content.get("code") != HTTPStatus.OK or content.get("errors"):
        return False
    data = content.get("data")
    if is_object(data) and (data.get("status", True) is not True or not data.keys() <= _ACCEPTED):
        return False  # to be looked at more closely
    return content.keys() <= _DOCUMENTED


def says_failure(content: Any) -> bool:
    """Whether an envelope without an error code says all the same that nothing was done."""
    if not is_object(content):
        return False
    if content.get("errors") or content.get("detail"):
        return True
    data = content.get("data")
    return is_object(data) and (
        data.get("status") is False or data.get("is_credit_sufficient") is False
    )


#: What a ``status`` says in words where something went wrong.
_BAD_STATUSES = frozenset({"false", "error", "failed", "failure"})


def oddity(content: Any, *, of_image: bool) -> str:
    """What in an envelope that does not say failure is no success either; empty if there is nothing
    of that kind.

    No source knows these forms. They prove nothing, so a write that is answered like this is looked
    for.

    Args:
        content: The envelope.
        of_image: Whether it answers an image action; a ``status`` in another reply may be that of
            anything.
    """
    if not is_object(content):
        return ""
    for key in ("code", "status_code"):
        value = content.get(key)
        if value is not None and not _is_success(_status(value)):
            return f"$.{key}: no status that anybody knows"
    if content.get("error"):
        return "$.error: a success that speaks of an error"
    if content.get("success") is False:
        return "$.success: it is false"
    data = content.get("data")
    if of_image and (
        _is_bad(content.get("status")) or (is_object(data) and _is_bad(data.get("status")))
    ):
        return "$.status: a success that is none"
    return ""


def _is_bad(status: object) -> bool:
    return status is False or (isinstance(status, str) and status.strip().lower() in _BAD_STATUSES)


def is_paged(content: Mapping[str, Any]) -> bool:
    """Whether a listing says that there is more than it shows. No source knows it to, but other
    listings are paged.
    """
    total, pages = content.get("total_count"), content.get("total_page_number")
    shown = content.get("data")
    has_pages = is_number(pages) and pages > 1
    has_more = is_number(total) and is_array(shown) and total > len(shown)
    return has_pages or has_more


def paging(content: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """How many elements and pages there are, where the envelope of a listing says it."""
    return _whole(content.get("total_count")), _whole(content.get("total_page_number"))


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    return int(value) if is_number(value) else None


def flatten(errors: Any, depth: int = 3) -> list[str]:
    """The sentences in an ``errors`` value, whatever its shape; a few levels deep, two dozen at the
    most.
    """
    return list(islice(_sentences(errors, depth), 24))


def _sentences(errors: Any, depth: int) -> Iterator[str]:
    if (
        isinstance(errors, bool)
        or errors is None
        or (not depth and (is_object(errors) or is_array(errors)))
    ):
        return
    if is_object(errors):
        for key, value in errors.items():
            for sentence in _sentences(value, depth - 1):
                yield sentence if key in ("detail", "non_field_errors") else f"{key}: {sentence}"
    elif is_array(errors):
        for value in errors:
            yield from _sentences(value, depth - 1)
    else:
        yield str(errors)


def spoken(content: Mapping[str, Any]) -> str:
    """What an envelope says to a person: the first of its texts that says something."""
    data = content.get("data")
    return (
        _said(content.get("message"))
        or _joined(content.get("detail"))
        or _joined(content.get("errors"))
        or _said(content.get("error"))
        or (_said(data.get("message")) if is_object(data) else "")
    )


def _joined(errors: object) -> str:
    return _said("; ".join(flatten(errors))) if errors else ""


def _said(text: object) -> str:
    """A text that says something; empty if it is none, or only says that all went well."""
    if not isinstance(text, str) or (said := text.strip()).lower() in ("success", "ok"):
        return ""
    return said


def greeting(content: Mapping[str, Any]) -> str:
    """The bare "Success" that most replies carry, for want of a better text."""
    message = content.get("message")
    return message if isinstance(message, str) else ""
