"""Where requests go: base URL, project and location, checked before any credential is sent."""

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

_LARGEST_PROJECT: Final = 10**18 - 1
_PROJECT: Final = r"[0-9]{1,18}"
#: Up to 64 letters, digits, ``-``, ``_`` and spaces; no space at an end.
_LOCATION: Final = r"(?! )[A-Za-z0-9 _-]{1,64}(?<! )"


def checked_base_url(value: object) -> str:
    """The base URL in its one form: with ``/api/v1`` and a final slash.

    Args:
        value: With or without ``/api/v1``, with or without a final slash. On a host of the vendor
            ``/myaccount`` may be left out, too.

    Raises:
        ConfigError: It is not an absolute https URL (plain http is allowed on loopback), or it
            contains a query, a fragment, user information, or what looks like a secret.
    """
    url = _plain_text(value)
    parts = _split(url)
    if problem := _forbidden_part(url, parts):
        raise ConfigError(f"base_url must not have {problem}")
    host = _host(parts)
    if host is None:
        raise _not_absolute(value)
    if parts.scheme == "http":
        _require_loopback(host)
    elif parts.scheme != "https":
        raise _not_absolute(value)
    return f"{parts.scheme}://{parts.netloc}{_path(parts.path, host)}"


def _plain_text(value: object) -> str:
    """A URL as text without space around it."""
    if isinstance(value, str) and re.fullmatch(r"[ -~]+", value.strip()):
        return value.strip()
    raise _not_absolute(value)


def _forbidden_part(url: str, parts: SplitResult) -> str:
    """The part of a URL that it must not have; empty if there is none."""
    if re.search(r"[ \\]", url):
        return "spaces or backslashes in it"
    if "@" in parts.netloc:
        return "user information: api_key and auth_token are settings of their own"
    if re.search(r"[?#]", url):
        return "a query or a fragment: project_id and location are settings of their own"
    return ""


def _require_loopback(host: str) -> None:
    """Refuse a host that credentials would travel to unencrypted."""
    if not is_loopback(host):
        raise ConfigError(
            f"base_url must be https: over http to {_check.quoted(host)}"
            " anyone on the way could read the credentials"
        )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        pass  # raised below, where no context hangs on it
    raise _not_absolute(url)


def _host(parts: SplitResult) -> str | None:
    """The host of a URL that gives one in full, else None."""
    if re.fullmatch(_HOST_AND_PORT, parts.netloc) is None:
        return None
    try:
        return None if parts.port == 0 else parts.hostname
    except ValueError:
        return None


def _path(path: str, host: str) -> str:
    """The path of the API, completed from what the user wrote."""
    segments = [segment for segment in path.split("/") if segment]
    if {".", ".."} & {segment.replace("%2e", ".").replace("%2E", ".") for segment in segments}:
        raise ConfigError("base_url must not have . or .. in its path")
    if any(map(looks_secret, segments)):
        raise ConfigError(
            "base_url has what looks like a secret in its path:"
            " api_key and auth_token are settings of their own"
        )
    whole = "/" + "".join(f"{segment}/" for segment in segments)
    if whole in ("/", _API) and host.endswith(_VENDOR):
        return f"/myaccount{_API}"
    return whole if whole.endswith(_API) else whole.rstrip("/") + _API


def _not_absolute(value: object) -> ConfigError:
    """The error for anything but an absolute URL. The value may be a secret, so it is described."""
    return ConfigError(
        f"base_url must be an absolute URL such as {DEFAULT_BASE_URL}, not {described(value)}"
    )


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_project_id(value: object) -> str | None:
    """The project id as it is sent.

    Raises:
        ConfigError: It is not a positive whole number, given as a number or as text.
    """
    if value is None:
        return None
    number = value
    if isinstance(value, str) and re.fullmatch(_PROJECT, value):
        number = int(value)
    if not _check.is_whole(number, least=1) or number > _LARGEST_PROJECT:
        raise ConfigError(
            f"project_id must be a positive whole number, such as 12345, not {described(value)}"
        )
    return str(int(number))


def checked_location(value: object) -> str | None:
    """The location as it is sent. Any name is taken: the vendor's list has changed three times.

    Raises:
        ConfigError: It is not a text of 1 to 64 letters, digits, ``-``, ``_`` or spaces, or it
            looks like a secret.
    """
    if value is None:
        return None
    if not isinstance(value, str) or not re.fullmatch(_LOCATION, value):
        raise ConfigError(
            f"location must be a name such as 'Delhi' or 'Chennai', not {described(value)}"
        )
    if looks_secret(value):
        raise ConfigError(
            "location must be a name such as 'Delhi' or 'Chennai'; this one looks like a secret"
        )
    return _check.as_str(value)
