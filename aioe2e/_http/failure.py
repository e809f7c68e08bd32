"""Why there is no reply: what was raised, as an error of the library."""

from __future__ import annotations

import logging
import os
import ssl
import traceback
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import aiohttp

from aioe2e._text import Redactor
from aioe2e.errors import (
    AttemptTimeoutError,
    ConnectError,
    ConnectionLostError,
    E2EError,
    ResponseError,
    SessionError,
)

from .reply import MOST_HEADERS, BodyTooLargeError, BrokenBodyError, TooManyHeadersError
from .watched import SentTwice
from .write import SpokeFirst

_log: Final = logging.getLogger("aioe2e")

#: Why a reply that came cannot be read.
_UNREADABLE: Final[Mapping[type[Exception], str]] = {
    TooManyHeadersError: f"the reply has more than {MOST_HEADERS} headers",
    BodyTooLargeError: "the reply is larger than {max_body} bytes",
    BrokenBodyError: "the compressed reply cannot be unpacked",
}


def failure(error: Exception, *, sent: bool, max_body: int, redactor: Redactor) -> E2EError:
    """The error of the library for an exception.

    Args:
        error: What was raised while a request was sent or its reply was read.
        sent: Whether a connection took the request.
        max_body: Bytes of the reply at the most.
        redactor: Takes secrets out of the words of an exception that is none of aiohttp's.
    """
    match error:
        case aiohttp.ConnectionTimeoutError():
            reason = "no connection within Timeouts.connect"
            return ConnectError(reason, sent=sent, reason=reason)
        case TimeoutError():
            missing = "whole reply" if sent else "connection"
            return AttemptTimeoutError(f"no {missing} in the time for one attempt", sent=sent)
        case SpokeFirst():
            return ConnectionLostError(
                "something answered on a new connection before it was asked", sent=False
            )
        case TooManyHeadersError() | BodyTooLargeError() | BrokenBodyError():
            return ResponseError(_UNREADABLE[type(error)].format(max_body=max_body))
        case aiohttp.ClientHttpProxyError():
            return _refused_by_proxy(error.status)
        case aiohttp.ClientConnectorError() if not sent:
            reason = _reason(error)
            return ConnectError(f"no connection: {reason}", sent=False, reason=reason)
        case _ if _is_of_the_network(error):
            return _lost(error, sent=sent)
        case _:
            return _bug(error, sent=sent, redactor=redactor)


def _refused_by_proxy(status: int) -> E2EError:
    try:
        said = f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        said = str(status)
    reason = f"the proxy refused the connection with {said}"
    return ConnectError(f"no connection: {reason}", sent=False, reason=reason, proxy_status=status)


def _reason(error: aiohttp.ClientConnectorError) -> str:
    """Why no connection came about, from the parts of an OS error that hold no URL."""
    cause: BaseException = getattr(error, "certificate_error", None) or error.os_error
    story = _story(cause)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"the name {error.host} cannot be resolved: {story}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"the proxy cannot be reached: {story}"
    return story


def _story(cause: BaseException) -> str:
    if isinstance(cause, ssl.SSLError | ssl.CertificateError):
        return str(getattr(cause, "verify_message", None) or cause.reason or type(cause).__name__)
    if isinstance(cause, ConnectionError) and cause.errno:
        return os.strerror(cause.errno)  # asyncio's own words are "Connect call failed"
    return str(getattr(cause, "strerror", None) or type(cause).__name__)


def _is_of_the_network(error: Exception) -> bool:
    """Whether an exception tells of a connection or a reply, and not of a bug in the program."""
    if isinstance(error, aiohttp.ClientError | OSError | SentTwice):
        return True
    # Its parsers have exceptions with no common base.
    return type(error).__module__.partition(".")[0] == "aiohttp"


def _lost(error: Exception, *, sent: bool) -> E2EError:
    # Only the type is told: the texts of aiohttp's errors are long and hold URLs.
    kind = type(error).__name__
    if sent:
        return ConnectionLostError(
            f"the connection failed before a reply was read ({kind})", sent=True
        )
    reason = f"the connection failed before the request was sent ({kind})"
    return ConnectError(reason, sent=False, reason=reason)


def _bug(error: Exception, *, sent: bool, redactor: Redactor) -> E2EError:
    """The program's own code has failed: a trace callback, a middleware, a patched aiohttp."""
    story = redactor.hide("".join(traceback.format_exception(error)))
    _log.debug("a bug in the program ended a request:\n%s", story)
    kind = type(error).__name__
    problem: E2EError
    if sent:
        problem = ConnectionLostError(
            f"a bug in the program ended the request before a reply was read ({kind})", sent=True
        )
    else:
        problem = SessionError(
            f"a bug in the program ended the request before it was sent ({kind}): "
            "look at trace configs, and at what patches aiohttp"
        )
    words = traceback.format_exception_only(error)[-1].strip()
    problem.add_note(f"the bug: {redactor.clean(words)}")
    return problem
