"""Where requests go: base URL, project and location, checked before a credential travels there."""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aioe2e import _check
from aioe2e.errors import ConfigError

from .secrecy import described, looks_secret

DEFAULT_BASE_URL: Final = "https://api.e2enetworks.com/myaccount/api/v1/"
_API: Final = "/api/v1/"
#: Hosts of the vendor, whose API lies below ``/myaccount``.
_VENDOR: Final = (".e2enetworks.com", ".e2enetworks.net")
#: A host name, an IPv4 address, or an IPv6 address in brackets; then a port.
_HOST_AND_PORT: Final = r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"

_LONGEST_LOCATION: Final = 64
_MOST_DIGITS: Final = 18


def checked_base_url(value: object) -> str:
    """The base URL in its one form: with ``/api/v1`` and a final slash.

    Args:
        value: With or without ``/api/v1``, with or without a final slash. On a host of the vendor
            ``/myaccount`` may be left out, too.

    Raises:
        ConfigError: It is no absolute https URL (plain http is fine on loopback), or it has a
            query, a fragment, user information, or what looks like a secret.
    """
    url = _plain_text(value)
    parts = _split(url)
    if problem := _what_must_not_be_there(url, parts):
        raise ConfigError(f"base_url must not have {problem}")
    host = _host(parts)
    if parts.scheme not in ("https", "http") or host is None:
        raise _not_absolute(value)
    if parts.scheme == "http" and not is_loopback(host):
        raise ConfigError(
            f"base_url must be https: over http to {_check.quoted(host)}"
            " anybody on the way could read the credentials"
        )
    return f"{parts.scheme}://{parts.netloc}{_path(parts.path, host)}"


def _plain_text(value: object) -> str:
    """A URL as text without space around it."""
    url = value.strip() if isinstance(value, str) else ""
    is_plain = url.isascii() and url.isprintable()
    if not url or not is_plain:
        raise _not_absolute(value)
    return url


def _what_must_not_be_there(url: str, parts: SplitResult) -> str:
    """What stands in a URL that must not; empty if there is nothing of that kind."""
    if " " in url or "\\" in url:
        return "spaces or backslashes in it"
    if "@" in parts.netloc:
        return "user information: credentials go into Credentials"
    if "?" in url or "#" in url:
        return "a query or a fragment: project_id and location are arguments"
    return ""


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        pass  # raised below, where no context hangs on it
    raise _not_absolute(url)


def _host(parts: SplitResult) -> str | None:
    """The host of a URL that names one in full, else None."""
    if re.fullmatch(_HOST_AND_PORT, parts.netloc) is None:
        return None
    try:
        return None if parts.port == 0 else parts.hostname
    except ValueError:
        return None


def _path(path: str, host: str) -> str:
    """The path of the API, of what a user wrote of it."""
    segments = [segment for segment in path.split("/") if segment]
    if {".", ".."} & {segment.replace("%2e", ".").replace("%2E", ".") for segment in segments}:
        raise ConfigError("base_url must not have . or .. in its path")
    if any(map(looks_secret, segments)):
        raise ConfigError(
            "base_url has what looks like a secret in its path: credentials go into Credentials"
        )
    whole = "/" + "".join(f"{segment}/" for segment in segments)
    if whole in ("/", _API) and host.endswith(_VENDOR):
        return f"/myaccount{_API}"
    return whole if whole.endswith(_API) else whole.rstrip("/") + _API


def _not_absolute(value: object) -> ConfigError:
    """The error of what is no absolute URL. Its own text may be a secret, so it is described."""
    return ConfigError(
        f"base_url must be an absolute URL such as {DEFAULT_BASE_URL}, not {described(value)}"
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this very machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_project_id(value: object) -> str | None:
    """The project id as it is sent.

    Raises:
        ConfigError: It is no positive whole number, as a number or as text.
    """
    if value is None:
        return None
    number = _whole_number(value)
    if number is None or not 0 < number < 10**_MOST_DIGITS:
        raise ConfigError(
            f"project_id must be a positive whole number, such as 12345, not {described(value)}"
        )
    return str(number)


def _whole_number(value: object) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return int(value)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit()
    if isinstance(value, str) and is_digits and len(value) <= _MOST_DIGITS:
        return int(value)
    return None


def checked_location(value: object) -> str | None:
    """The location as it is sent. Any name will do: the vendor's list has changed three times.

    Raises:
        ConfigError: It is no text of 1 to 64 letters, digits, ``-``, ``_`` or spaces, or it looks
            like a secret.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not _is_place(value):
        raise ConfigError(
            f"location must be a name such as 'Delhi' or 'Chennai', not {described(value)}"
        )
    if looks_secret(value):
        raise ConfigError(
            "location must be a name such as 'Delhi' or 'Chennai'; this one looks like a secret"
        )
    return _check.as_str(value)


def _is_place(text: str) -> bool:
    fits = 0 < len(text) <= _LONGEST_LOCATION and text == text.strip()
    return fits and all(c.isascii() and (c.isalnum() or c in "-_ ") for c in text)
