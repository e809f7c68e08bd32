"""From a status and what the server said to the error that a caller catches."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

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

from .request import Request, describe

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
_CREDENTIALS = r"credential|token|unauthori[sz]ed|api ?key|authenticat"
_PROJECT = r"project"
#: A missing project is no missing image; "image not found in project 12" is.
_NO_PROJECT = r"project\b[^.;]{0,40}?(?:not found|does ?n[o']t exist)|no such project"

#: What the text of a refusal says where its status does not: the API refuses nearly everything
#: with 412. The first row that fits counts. The sentences of OpenNebula, which stands behind the
#: API, are among them: "There are 2 VMs using it.", "NAME is already taken by IMAGE 43".
_CLASSES_BY_TEXT: Sequence[tuple[str, type[APIError]]] = (
    (_ABSENT, NotFoundError),
    (r"already exists|in use|duplicate|already taken", ConflictError),
    (r"running|\bVMs? using|active clone operation", ConflictError),
)
#: Texts of refusals that pass by themselves: the same request may succeed a little later.
_PASSING_TEXTS: Sequence[str] = (
    r"try again (?:later|in|after)|retry (?:later|in|after)",
    r"already in \w+ state",
)

_HINTS: Mapping[type[APIError], str] = {
    AuthenticationError: "check the API key and the auth token",
    ConflictError: "list the images to see who has the name, or what uses the image",
    NotFoundError: "are project_id and location the right ones?",
    PermissionDeniedError: "a token may be read-only: see its permissions in MyAccount",
    RateLimitedError: "wait and try again, or lower Limits.in_flight",
}


def _tells(said: str, pattern: str) -> bool:
    return re.search(pattern, said, re.IGNORECASE) is not None


def _class(status: int, said: str) -> type[APIError]:
    if status == HTTPStatus.PRECONDITION_FAILED:
        fitting = (cls for pattern, cls in _CLASSES_BY_TEXT if _tells(said, pattern))
        return next(fitting, APIError)
    if status == HTTPStatus.FORBIDDEN and _tells(said, _CREDENTIALS):
        return AuthenticationError
    if status >= 500:
        return ServerError
    return _CLASSES.get(status, APIError)


def _passes(said: str) -> bool:
    """Whether a refusal says of itself that it passes."""
    return any(_tells(said, pattern) for pattern in _PASSING_TEXTS)


def _hint(cls: type[APIError], status: int, said: str, request: Request) -> str:
    is_missing = status == HTTPStatus.NOT_FOUND
    if is_missing and request.lists:
        return "this route is there on every account: check base_url, then project_id and location"
    if status in (400, 404, 412) and _tells(said, _PROJECT):
        return "set project_id and location to those of the image"
    if is_missing and request.dialect is not None:
        if not request.target.isdigit():
            return "ids are numbers, and this looks like a name: find its id in the listing"
        return (
            "check project_id and location; an account that expects another HTTP method replies "
            "404, too: see aioe2e.Dialect"
        )
    if status == 405:
        return "the server expects another HTTP method: see aioe2e.Dialect"
    if 300 <= status < 400:
        return "redirects are never followed: check base_url"
    return _HINTS.get(cls, "")


def refusal(
    request: Request,
    status: int,
    code: int | None,
    message: str,
    errors: tuple[str, ...],
    retry_after: float | None,
    headers: Mapping[str, str],
) -> APIError:
    """The error for a reply that says no. All texts are redacted already.

    Args:
        request: What was tried.
        status: The HTTP status, or the envelope's code where that is the one that says no.
        code: The envelope's code.
        message: What the server said.
        errors: The sentences of the envelope's ``errors``.
        retry_after: Seconds, where the server asked for a delay.
        headers: Of the reply.
    """
    said = " ".join((message, *errors))
    cls = _class(status, said)
    detail = "; ".join(errors)
    more = ""
    if errors and message not in errors and detail != message:
        more = f" ({detail[:200]})"
    hint = _hint(cls, status, said, request)
    advice = ""
    if hint:
        advice = f" [{hint}]"
    answer = f"answered {status}"
    if status < 300:
        answer += ", but says that it failed"
    return cls(
        f"the server {answer}: {message}{more}{advice}",
        subject=describe(request),
        status=status,
        code=code,
        message=message,
        errors=errors,
        retry_after=retry_after,
        action=request.action,
        passing=_passes(said),
        headers=headers,
    )


def means_missing(error: object) -> bool:
    """Whether a refusal says that the image itself is missing, and not the project."""
    if not isinstance(error, NotFoundError):
        return False
    said = " ".join((error.message, *error.errors))
    return not _tells(said, _NO_PROJECT)
