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


def failure(error: Exception, *, sent: bool, max_body: int) -> E2EError:
    """The error of the library for an exception.

    Args:
        error: What was raised while a request was sent or its reply was read.
        sent: Whether a connection took the request.
        max_body: Bytes of the reply at the most.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            return ConnectError("no connection within Timeouts.connect", sent=sent)
        case TimeoutError():
            missing = "whole reply" if sent else "connection"
            return AttemptTimeoutError(f"no {missing} in the time for one attempt", sent=sent)
        case SpokeFirst():
            return ConnectionLostError(
                "something answered on a new connection before it was asked", sent=False
            )
        case TooManyHeadersError():
            return ResponseError(f"the reply has more than {MOST_HEADERS} headers")
        case BodyTooLargeError():
            return ResponseError(f"the reply is larger than {max_body} bytes")
        case BrokenBodyError():
            return ResponseError("the compressed reply cannot be unpacked")
        case aiohttp.ClientConnectorError() if not sent:
            return ConnectError(f"no connection: {_story(error)}", sent=False)
        case _:
            return _lost(error, sent=sent)


def _lost(error: Exception, *, sent: bool) -> E2EError:
    # Only the type is told: the texts of aiohttp's errors hold URLs.
    kind = type(error).__name__
    if sent:
        return ConnectionLostError(
            f"the connection failed before a reply was read ({kind})", sent=True
        )
    return ConnectError(f"the connection failed before the request was sent ({kind})", sent=False)


def _story(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about, from the parts of an OS error that hold no URL."""
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", error)
    certificate = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return str(certificate or getattr(cause, "strerror", None) or type(cause).__name__)
