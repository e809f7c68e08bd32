"""Credentials and context that users already have: environment variables, and the files of the vendor's tools."""

from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from . import _address
from ._json import is_object
from .config import Credentials, checked_secret
from .errors import ConfigError

log = logging.getLogger("aioe2e")

_VARIABLES = {"api_key": "E2E_API_KEY", "auth_token": "E2E_AUTH_TOKEN"}
_CONTEXT = {"project_id": "E2E_PROJECT_ID", "location": "E2E_LOCATION"}
_CHECKS = {"project_id": _address.project, "location": _address.location}


def from_environment(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `Session` from environment variables; an empty variable counts as none.

    Raises:
        ConfigError: A variable that is needed is not set.
    """
    found = dict(overrides)
    if "credentials" not in found:
        secrets = {key: environ.get(name, "").strip() for key, name in _VARIABLES.items()}
        missing = [_VARIABLES[key] for key, value in secrets.items() if not value]
        if missing:
            raise ConfigError(
                f"{' and '.join(missing)} not set: get both from MyAccount (API & IAM), or pass credentials="
            )
        for key, secret in secrets.items():
            _checked(_VARIABLES[key], partial(checked_secret, "it", is_token=key == "auth_token"), secret)
        found["credentials"] = Credentials(**secrets)
    for key, name in _CONTEXT.items():
        if key not in found and (value := environ.get(name, "").strip()):
            found[key] = _checked(name, _CHECKS[key], value)
    return found


def _checked(name: str, check: Callable[[object], str | None], value: str) -> str | None:
    """The value of a variable, or an error that names the variable."""
    try:
        return check(value)
    except ConfigError as error:
        problem = str(error)
    raise ConfigError(f"{name}: {problem}")


def from_files(name: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `Session` from the first configuration file that is there.

    Raises:
        ConfigError: There is no file, it is not safe, or it does not have the profile.
    """
    home = Path.home()
    tools = ((home / ".e2e/config.json", _e2ectl, True), (home / ".E2E_CLI/config.json", _e2e_cli, False))
    for path, read, strict in tools:
        if path.is_file():
            profile = read(_load(path, strict=strict), name, path)
            break
    else:
        raise ConfigError("no profile: neither ~/.e2e/config.json nor ~/.E2E_CLI/config.json is there")
    found = {key: profile[key] for key in _CONTEXT if profile.get(key) not in (None, "")}
    if "credentials" not in overrides:
        found["credentials"] = Credentials(api_key=profile.get("api_key", ""), auth_token=profile.get("auth_token", ""))
    return {**found, **overrides}


def _load(path: Path, *, strict: bool) -> Mapping[str, Any]:
    """A configuration file. One that others can read is refused if its tool refuses it too, else it is a warning."""
    try:
        shared = sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077
        content = json.loads(path.read_bytes())
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        problem = "not JSON"
    else:
        if strict and shared:
            raise ConfigError(f"{path} can be read by others: chmod 600 it, since it holds secrets")
        if shared:
            log.warning("%s can be read by others: chmod 600 it, since it holds secrets", path)
        if is_object(content):
            return content
        problem = "not a JSON object"
    raise ConfigError(f"{path} cannot be read: {problem}")


def _chosen(profiles: Mapping[str, Any], name: str | None, default: object, path: Path) -> Mapping[str, Any]:
    if name is None:
        name = default if isinstance(default, str) else next(iter(profiles)) if len(profiles) == 1 else None
    profile = profiles.get(name) if name is not None else None
    if not is_object(profile):
        known = ", ".join(sorted(profiles)) or "none"
        which = "no default profile" if name is None else f"no profile {name!r}"
        raise ConfigError(f"{path} has {which}; it has: {known}")
    return profile


def _e2ectl(content: Mapping[str, Any], name: str | None, path: Path) -> Mapping[str, Any]:
    """e2ectl: ``{"profiles": {alias: {api_key, auth_token, …}}, "default": alias}``."""
    profiles = content.get("profiles")
    profile = _chosen(profiles if is_object(profiles) else {}, name, content.get("default"), path)
    return {
        **profile,
        "project_id": profile.get("default_project_id"),
        "location": profile.get("default_location"),
    }


def _e2e_cli(content: Mapping[str, Any], name: str | None, path: Path) -> Mapping[str, Any]:
    """e2e-cli: ``{alias: {api_key, api_auth_token}}``; its "default" holds an alias and the context, no secrets."""
    default = content.get("default")
    pointer = default if is_object(default) else {}
    profiles = {key: value for key, value in content.items() if key != "default"}
    alias = pointer.get("api_key")
    if alias != pointer.get("api_auth_token"):  # a downloaded token that is named "default": these are secrets
        profiles, alias, pointer = {**profiles, "default": pointer}, "default", {}
    profile = _chosen(profiles, name if name in profiles or name != "default" else None, alias, path)
    return {
        "api_key": profile.get("api_key", ""),
        "auth_token": profile.get("api_auth_token", ""),
        "project_id": pointer.get("project_id"),
        "location": pointer.get("location"),
    }
