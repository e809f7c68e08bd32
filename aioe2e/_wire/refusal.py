"""From a status and what the server said to the error that a caller catches."""

from __future__ import annotations

import re
from collections.abc import Mapping

from aioe2e.errors import (
    APIError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    RateLimitedError,
    ServerError,
)

_CLASSES: Mapping[int, type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    410: NotFoundError,
    422: BadRequestError,
    429: RateLimitedError,
}

# The vendor documents no texts, so these are loose patterns and never exact sentences. They are
# compiled when a text first needs them: compiling takes longer than importing the module.
_ABSENT = r"not found|does ?n[o']t exist|no such"
_TAKEN = r"already exists|in use|running|duplicate|already taken"
_CREDENTIALS = r"credential|token|unauthori[sz]ed|api ?key|authenticat"
_PROJECT = r"project"
#: A missing project is no missing image; "image not found in project 12" is.
_NO_PROJECT = r"project\b[^.;]{0,40}?(?:not found|does ?n[o']t exist)|no such project"

_HINTS: Mapping[type[APIError], str] = {
    AuthenticationError: "check the api key and the auth token",
    ConflictError: "list the images to see who has the name, or what uses the image",
    NotFoundError: "are project_id and location the right ones?",
    PermissionDeniedError: "a token may be read-only: see its permissions in MyAccount",
    RateLimitedError: "wait and try again, or lower Limits.in_flight",
}


def _tells(said: str, pattern: str) -> bool:
    return re.search(pattern, said, re.IGNORECASE) is not None


def _class(status: int, said: str) -> type[APIError]:
    if status == 412:  # the API's usual refusal: only its text tells which
        return (
            NotFoundError
            if _tells(said, _ABSENT)
            else ConflictError
            if _tells(said, _TAKEN)
            else APIError
        )
    if status == 403 and _tells(said, _CREDENTIALS):
        return AuthenticationError
    return ServerError if status >= 500 else _CLASSES.get(status, APIError)


def _hint(cls: type[APIError], status: int, said: str) -> str:
    if status in (400, 404, 412) and _tells(said, _PROJECT):
        return "set project_id and location to those of the image"
    if status == 405:
        return "the server takes another method here: see Dialect"
    if 300 <= status < 400:
        return "redirects are never followed: check base_url"
    return _HINTS.get(cls, "")


def refusal(
    subject: str,
    action: str,
    status: int,
    code: int | None,
    message: str,
    errors: tuple[str, ...],
    retry_after: float | None,
) -> APIError:
    """The error for a reply that says no. All texts are redacted already.

    Args:
        subject: What was tried, such as ``rename of image 2292``.
        action: The action's name.
        status: The HTTP status, or the envelope's code where that is the one that says no.
        code: The envelope's code.
        message: What the server said.
        errors: The sentences of the envelope's ``errors``.
        retry_after: Seconds, where the server asked for a delay.
    """
    said = " ".join((message, *errors))
    cls = _class(status, said)
    more = (
        ""
        if not errors or message in errors or "; ".join(errors) == message
        else f" ({'; '.join(errors)[:200]})"
    )
    hint = _hint(cls, status, said)
    answer = (
        f"answered {status}" if status >= 300 else f"answered {status}, but says that it failed"
    )
    text = f"{subject}: the server {answer}: {message}{more}" + (f" [{hint}]" if hint else "")
    return cls(
        text,
        status=status,
        code=code,
        message=message,
        errors=errors,
        retry_after=retry_after,
        action=action,
    )


def means_missing(error: object) -> bool:
    """Whether a refusal says that the image itself is not there (a missing project is another
    matter)."""
    return isinstance(error, NotFoundError) and not _tells(
        " ".join((error.message, *error.errors)), _NO_PROJECT
    )
