"""Why there is no reply: what aiohttp raised, as an error of the library that holds no secret."""

from __future__ import annotations

import aiohttp

from aioe2e.errors import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    E2EError,
    ResponseError,
)

from .reply import MOST_HEADERS, TooManyHeadersError
from .request import SpokeFirst
from .unpack import BodyTooLargeError, BrokenBodyError


def failure(error: Exception, subject: str, *, sent: bool, max_body: int) -> E2EError:
    """The error of the library for an exception.

    Args:
        error: What was raised while a request was sent or its reply was read.
        subject: What was tried.
        sent: Whether a connection took the request.
        max_body: Bytes of the reply at the most.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            text = "no connection within Timeouts.connect"
            return ConnectError(text, sent=sent, subject=subject)
        case TimeoutError():
            missing = "whole reply" if sent else "connection"
            text = f"no {missing} in the time for one attempt"
            return AttemptTimeoutError(text, sent=sent, subject=subject)
        case SpokeFirst():
            text = "something answered on a new connection before it was asked"
            return ConnectionLostError(text, sent=False, subject=subject)
        case TooManyHeadersError():
            text = f"the reply has more than {MOST_HEADERS} headers"
            return ResponseError(text, subject=subject)
        case BodyTooLargeError():
            text = f"the reply is larger than {max_body} bytes"
            return ResponseError(text, subject=subject)
        case BrokenBodyError():
            return ResponseError("the compressed reply cannot be unpacked", subject=subject)
        case aiohttp.ClientConnectorError() if not sent:
            text = f"no connection: {_story(error)}"
            return ConnectError(text, sent=False, subject=subject)
        case _:
            return _lost(error, subject, sent=sent)


def _lost(error: Exception, subject: str, *, sent: bool) -> E2EError:
    # Only the type is told: the texts of aiohttp's errors hold URLs.
    kind = type(error).__name__
    if sent:
        text = f"the connection failed before a reply was read ({kind})"
        return ConnectionLostError(text, sent=True, subject=subject)
    text = f"the connection failed before the request was sent ({kind})"
    return ConnectError(text, sent=False, subject=subject)


def _story(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about, from the parts of an OS error that hold no URL."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    certificate = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(certificate or getattr(cause, "strerror", None) or type(cause).__name__)
