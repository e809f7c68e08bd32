"""Credentials and context that users already have: environment variables and the tools' files."""

from __future__ import annotations

import json
import logging
import stat
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard

import attrs

from aioe2e.errors import ConfigError

from .address import checked_location, checked_project_id
from .values import Credentials, checked_secret

log = logging.getLogger("aioe2e")

_VARIABLES = {"api_key": "E2E_API_KEY", "auth_token": "E2E_AUTH_TOKEN"}
_CONTEXT = {"project_id": "E2E_PROJECT_ID", "location": "E2E_LOCATION"}
_CHECKS = {"project_id": checked_project_id, "location": checked_location}


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


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
                f"{' and '.join(missing)} not set: get both from MyAccount (API & IAM),"
                " or pass credentials="
            )
        for key, secret in secrets.items():
            _checked(
                _VARIABLES[key], partial(checked_secret, "it", is_token=key == "auth_token"), secret
            )
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


@attrs.frozen(eq=False, repr=False)
class _Source:
    """What one tool has stored.

    Attributes:
        path: Its file.
        profiles: By name: ``api_key``, ``auth_token``, ``project_id`` and ``location``, as far as
            they are there.
        default: The profile that it takes when none is named.
    """

    path: Path
    profiles: Mapping[str, Any]
    default: object = None


def from_files(name: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `Session` from a configuration file.

    Args:
        name: The profile, looked for in all files; None takes the default, or the only one, of the
            first file there is.
        overrides: Stand above the file.

    Raises:
        ConfigError: There is no file, it is not safe, it does not have the profile, or something in
            it is wrong.
    """
    sources: list[_Source] = []
    for place, read in _READERS:
        path = Path.home() / place
        if path.is_file():
            source = read(path)
            if name is None or name in source.profiles:
                return _arguments(source, name, overrides)
            sources.append(source)
    if not sources:
        raise ConfigError(
            f"no profile: none of {', '.join(f'~/{place}' for place, _ in _READERS)} is there"
        )
    raise ConfigError(f"no profile {name!r}: {'; '.join(map(_inventory, sources))}")


def _inventory(source: _Source) -> str:
    return f"{source.path} has {', '.join(sorted(source.profiles)) or 'none'}"


def _arguments(source: _Source, name: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    if name is None:
        names = [source.default] if isinstance(source.default, str) else list(source.profiles)
        if len(names) != 1 or names[0] not in source.profiles:
            raise ConfigError(f"no default profile: {_inventory(source)}; say which")
        name = names[0]
    profile = source.profiles[name]
    if not _is_object(profile):
        raise ConfigError(f"{source.path}: the profile {name!r} is no object")
    found = {key: profile[key] for key in _CONTEXT if profile.get(key) not in (None, "")}
    problem = ""
    try:
        for key, check in _CHECKS.items():
            if key not in overrides:
                check(found.get(key))
        if "credentials" not in overrides:
            if missing := [key for key in _VARIABLES if profile.get(key) in (None, "")]:
                raise ConfigError(f"{' and '.join(missing)} missing")
            found["credentials"] = Credentials(**{key: profile[key] for key in _VARIABLES})
    except ConfigError as error:
        problem = str(error)
    if problem:
        raise ConfigError(f"{source.path}, profile {name!r}: {problem}")
    return {**found, **overrides}


def _check_permissions(path: Path, mode: int, *, strict: bool) -> None:
    """A file that others can read is refused if its tool refuses it too, else it is a warning."""
    if sys.platform == "win32" or not stat.S_IMODE(mode) & 0o077:
        return
    text = f"{path} can be read by others: chmod 600 it, since it holds secrets"
    if strict:
        raise ConfigError(text)
    log.warning("%s", text)


def _json_object(path: Path, *, strict: bool) -> Mapping[str, Any]:
    try:
        mode = path.stat().st_mode
        content = json.loads(path.read_bytes())
    except OSError as error:
        problem = error.strerror or type(error).__name__
    except (ValueError, RecursionError):
        problem = "not JSON"
    else:
        _check_permissions(path, mode, strict=strict)
        if _is_object(content):
            return content
        problem = "not a JSON object"
    raise ConfigError(f"{path} cannot be read: {problem}")


def _e2ectl(path: Path) -> _Source:
    """e2ectl: ``{"profiles": {alias: {api_key, auth_token, …}}, "default": alias}``."""
    content = _json_object(path, strict=True)
    if (
        "profiles" not in content
    ):  # the file that MyAccount offers for download, put where e2ectl has its own
        return _from_download(path, content)
    stored = content["profiles"]
    profiles = {
        name: {
            **profile,
            "project_id": profile.get("default_project_id"),
            "location": profile.get("default_location"),
        }
        if _is_object(profile)
        else profile
        for name, profile in (stored if _is_object(stored) else {}).items()
    }
    return _Source(path, profiles, content.get("default"))


def _e2e_cli(path: Path) -> _Source:
    return _from_download(path, _json_object(path, strict=False))


def _from_download(path: Path, content: Mapping[str, Any]) -> _Source:
    """e2e-cli: ``{alias: {api_key, api_auth_token}}``.

    Its "default" holds an alias and the context, no secrets.
    """
    pointer = content.get("default")
    alias = pointer.get("api_key") if _is_object(pointer) else None
    if _is_object(pointer) and alias != pointer.get("api_auth_token"):
        alias, pointer = (
            "default",
            {},
        )  # a downloaded token that is named "default": these are secrets
    else:
        content = {key: value for key, value in content.items() if key != "default"}
    profiles: dict[str, Any] = {}
    for name, profile in content.items():
        # The context belongs to the alias that the pointer names, and to no other.
        context = pointer if _is_object(pointer) and name == alias else {}
        profiles[name] = (
            {
                **{key: context.get(key) for key in _CONTEXT},
                **profile,
                "auth_token": profile.get("api_auth_token"),
            }
            if _is_object(profile)
            else profile
        )
    if isinstance(alias, str) and alias in profiles:
        profiles.setdefault("default", profiles[alias])
    return _Source(path, profiles, alias)


def _ini(path: Path) -> _Source:
    """The INI files of third-party tools: secrets in ``credentials``, the context in ``config``."""
    import configparser  # noqa: PLC0415  # for this format alone

    profiles: dict[str, dict[str, Any]] = {}
    for file, prefix in ((path, ""), (path.with_name("config"), "profile ")):
        parser = configparser.ConfigParser(interpolation=None, default_section="\0")
        try:
            if file.is_file():
                parser.read_string(file.read_text(encoding="utf-8"))
        except OSError as error:
            problem = error.strerror or type(error).__name__
        except (configparser.Error, ValueError):
            problem = "not an INI file"
        else:
            for section in parser.sections():
                profiles.setdefault(section.removeprefix(prefix), {}).update(parser[section])
            continue
        raise ConfigError(f"{file} cannot be read: {problem}")
    _check_permissions(path, path.stat().st_mode, strict=False)
    return _Source(path, profiles, "default" if "default" in profiles else None)


#: Where profiles are looked for, in this order.
_READERS: tuple[tuple[str, Callable[[Path], _Source]], ...] = (
    (".e2e/config.json", _e2ectl),
    (".E2E_CLI/config.json", _e2e_cli),
    (".e2e/credentials", _ini),
)
