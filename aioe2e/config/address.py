"""Where requests go: base URL, project and location, checked before a credential travels there."""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import SplitResult, urlsplit

from aioe2e import _check
from aioe2e.errors import ConfigError

DEFAULT_BASE_URL: Final = "https://api.e2enetworks.com/myaccount/api/v1/"
_API: Final = "/api/v1/"


def checked_base_url(value: object) -> str:
    """The base URL in its one form: with ``/api/v1`` and a final slash.

    Args:
        value: With or without ``/api/v1``, with or without a final slash.

    Raises:
        ConfigError: It is no absolute https URL (plain http is fine on loopback), or it has a
            query, a fragment or user information.
    """
    if (
        not isinstance(value, str)
        or not value.strip()
        or not value.strip().isascii()
        or not value.strip().isprintable()
    ):
        raise ConfigError(
            f"base_url must be an absolute URL such as {DEFAULT_BASE_URL}, not {_shown(value)}"
        )
    parts = _split(value.strip())
    if " " in value.strip() or "\\" in value:
        raise ConfigError("base_url must not have spaces or backslashes in it")
    if "@" in parts.netloc:
        raise ConfigError(
            "base_url must not have user information: credentials go into Credentials"
        )
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise ConfigError(
            "base_url must not have a query or a fragment: project_id and location are arguments"
        )
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if parts.scheme not in ("https", "http") or not host or port == 0:
        raise ConfigError(
            f"base_url must be an absolute URL such as {DEFAULT_BASE_URL}, not {_shown(value)}"
        )
    if parts.scheme == "http" and not _is_loopback(host):
        raise ConfigError(
            f"base_url must be https: over http to {host} anybody on the way could read"
            " the credentials"
        )
    segments = [segment for segment in parts.path.split("/") if segment]
    if {".", ".."} & {segment.replace("%2e", ".").replace("%2E", ".") for segment in segments}:
        raise ConfigError("base_url must not have . or .. in its path")
    path = "/" + "".join(f"{segment}/" for segment in segments)
    if not path.endswith(_API):
        path = path.rstrip("/") + _API
    return f"{parts.scheme}://{parts.netloc}{path}"


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        pass  # raised below, where no context hangs on it
    raise ConfigError(
        f"base_url must be an absolute URL such as {DEFAULT_BASE_URL}, not {_shown(url)}"
    )


def _shown(value: object) -> str:
    """A base URL as an error may show it: what may be user information or a query is left out."""
    if not isinstance(value, str):
        return type(value).__name__
    return _check.quoted(value.split("?")[0].rpartition("@")[2])


def _is_loopback(host: str) -> bool:
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
    text = value
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**18:
        text = int.__repr__(value)
    if (
        not isinstance(text, str)
        or not text.isascii()
        or not text.isdigit()
        or len(text) > 18
        or int(text) == 0
    ):
        raise ConfigError(
            f"project_id must be a positive whole number, such as 12345, not {_check.quoted(value)}"
        )
    return str(int(text))


def checked_location(value: object) -> str | None:
    """The location as it is sent. Any name will do: the vendor's list has changed three times.

    Raises:
        ConfigError: It is no text of 1 to 64 letters, digits, ``-``, ``_`` or spaces.
    """
    if value is None:
        return None
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= 64
        or value != value.strip()
        or not all(c.isascii() and (c.isalnum() or c in "-_ ") for c in value)
    ):
        raise ConfigError(
            f"location must be a name such as 'Delhi' or 'Chennai', not {_check.quoted(value)}"
        )
    return _check.as_str(value)
