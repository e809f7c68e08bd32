"""Profiles: credentials and context in the files of the vendor's tools."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeGuard

import attrs

from aioe2e.errors import ConfigError

from .found import (
    SECRETS,
    Setting,
    hidden,
    log,
    session_arguments,
    unread,
    warn_of_no_project,
    without_secrets,
)
from .secrecy import label

#: Bytes of a file at the most; no file of profiles comes near it.
_LARGEST: Final = 1024 * 1024
#: Profiles that an error names at the most.
_MOST_NAMED: Final = 10


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


@attrs.frozen(kw_only=True, eq=False)
class Profile:
    """One profile, as it is stored."""

    #: Its name.
    name: str
    #: The file.
    path: Path
    #: What is stored under the name.
    stored: object = attrs.field(repr=False)
    #: The keys under which its file has the settings, by setting.
    keys: Mapping[str, str]

    @property
    def source(self) -> str:
        """Where it was found, for people."""
        return f"{self.path}, profile '{label(self.name)}'"

    @property
    def secrets(self) -> list[object]:
        """The values that are secrets, or were given in place of one."""
        stored = self.stored if _is_object(self.stored) else {}
        return [stored.get(self.keys[name]) for name in SECRETS]

    def settings(self) -> dict[str, Setting]:
        """The settings that the profile gives; null and empty text count as not set.

        Raises:
            ConfigError: What is stored is not an object.
        """
        if not _is_object(self.stored):
            raise ConfigError(f"{self.path}: the profile '{label(self.name)}' is not an object")
        return {
            name: Setting(name=name, value=self.stored[key], source=self.source, word=key)
            for name, key in self.keys.items()
            if self.stored.get(key) not in (None, "")
        }

    def misnamed(self, present: set[str]) -> dict[str, str]:
        """Keys that are not read but seem to be meant, by the key that is read."""
        words = self.stored if _is_object(self.stored) else ()
        return unread(words, self.keys, present)


@attrs.frozen(kw_only=True, eq=False)
class ProfileFile:
    """What one tool has stored."""

    #: Its file.
    path: Path
    #: By name.
    profiles: Mapping[str, Profile]
    #: The profile that its tool uses when none is named.
    default: object = None

    @property
    def inventory(self) -> str:
        """The names of its profiles, for people."""
        names = sorted(map(label, self.profiles))
        listed = ", ".join(names[:_MOST_NAMED]) or "none"
        more = len(names) - _MOST_NAMED
        if more > 0:
            listed += f" and {more} more"
        return f"{self.path} has {listed}"

    @property
    def secrets(self) -> list[object]:
        """The values that are secrets, or were given in place of one."""
        return [secret for profile in self.profiles.values() for secret in profile.secrets]

    @property
    def default_profile(self) -> Profile | None:
        """The profile that is used when none is named: the default, or the only one."""
        if isinstance(self.default, str):
            return self.profiles.get(self.default)
        return next(iter(self.profiles.values())) if len(self.profiles) == 1 else None


@without_secrets
def from_files(name: str | None, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `Session` from a configuration file.

    Args:
        name: The profile, looked for in all files; None for the default, or the only one, of the
            first file that exists.
        overrides: Arguments that take precedence over the file.

    Raises:
        ConfigError: There is no file, it is not safe, it does not have the profile, or a value in
            it is wrong.
    """
    profile = find_profile(name)
    problem = ""
    try:
        settings = profile.settings()
        if "credentials" not in overrides:
            _require_secrets(profile, settings)
        found = session_arguments(settings, overrides)
    except ConfigError as error:
        problem = hidden(str(error), profile.secrets)
    else:
        present = {*settings, *overrides}
        if "credentials" in overrides:
            present.update(SECRETS)
        for key, word in profile.misnamed(present).items():
            text = hidden(f"{profile.source}: {word} is not read: write {key}", profile.secrets)
            log.warning("%s", text)
        where = hidden(f"{profile.source} has no {profile.keys['project_id']}", profile.secrets)
        warn_of_no_project(settings, overrides, where)
        return found
    raise ConfigError(problem)


def _require_secrets(profile: Profile, settings: Mapping[str, Setting]) -> None:
    missing = [profile.keys[name] for name in SECRETS if name not in settings]
    if not missing:
        return
    near = profile.misnamed(set(settings))
    hints = [f"{near[key]} is there, but not read" for key in missing if key in near]
    hint = f" ({'; '.join(hints)})" if hints else ""
    raise ConfigError(f"{profile.source}: {' and '.join(missing)} missing{hint}")


def find_profile(name: str | None) -> Profile:
    """A profile by its name, looked for in all files; None for the default of the first file.

    Raises:
        ConfigError: There is no file, one is not safe or damaged, or none has the profile.
    """
    if not isinstance(name, str | None):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise ConfigError(f"the name of a profile must be a string, not {type(name).__name__}")
    seen: list[ProfileFile] = []
    for file in _files():
        if name is None:
            return _default_of(file)
        if name in file.profiles:
            return file.profiles[name]
        seen.append(file)
    if not seen:
        raise ConfigError(
            f"no profile: none of {', '.join(PLACES)} exists; without one, settings come from"
            " E2E_API_KEY, E2E_AUTH_TOKEN, E2E_PROJECT_ID and E2E_LOCATION in the environment"
        )
    inventories = "; ".join(file.inventory for file in seen)
    secrets = [secret for file in seen for secret in file.secrets]
    raise ConfigError(hidden(f"no profile '{label(name)}': {inventories}", secrets))


def _files() -> Iterator[ProfileFile]:
    """The files that exist, each read when its turn comes.

    Raises:
        ConfigError: One is not safe, or damaged.
    """
    for place, read in _READERS:
        path = _home() / place
        if _is_file(path):
            yield read(path)


def _default_of(file: ProfileFile) -> Profile:
    profile = file.default_profile
    if profile is None:
        text = f"no default profile: {file.inventory}; name one"
        raise ConfigError(hidden(text, file.secrets))
    return profile


def profile_files() -> tuple[list[ProfileFile], list[ConfigError]]:
    """The files that exist, and the errors of those that cannot be used."""
    found: list[ProfileFile] = []
    unusable: list[ConfigError] = []
    for place, read in _READERS:
        try:
            path = _home() / place
            if _is_file(path):
                found.append(read(path))
        except ConfigError as error:
            unusable.append(error)
    return found, unusable


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:
        pass  # raised below, where no context hangs on it
    raise ConfigError("no profile: the home directory is not known")


def _is_file(path: Path) -> bool:
    problem = ""
    try:
        return path.is_file()
    except OSError as error:
        problem = _reason(error)
    raise ConfigError(f"{path} cannot be read: {problem}")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _content(path: Path, *, strict: bool) -> bytes:
    """The bytes of a file that is safe to trust.

    Args:
        path: The file.
        strict: Whether its tool refuses it when others can read it.

    Raises:
        ConfigError: It cannot be read, is too large, or others could have written it.
    """
    problem = ""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(_LARGEST + 1)
    except OSError as error:
        problem = f"{path} cannot be read: {_reason(error)}"
    else:
        _check_permissions(path, status, strict=strict)
        if len(content) <= _LARGEST:
            return content
        problem = f"{path} has more than 1 MiB, so it is not a file of profiles"
    raise ConfigError(problem)


def _check_permissions(path: Path, status: os.stat_result, *, strict: bool) -> None:
    """Refuse a file that others can change; one that others can read as its tool does."""
    if sys.platform == "win32":
        return
    mode, owner, user = stat.S_IMODE(status.st_mode), status.st_uid, os.geteuid()
    if owner not in (user, 0):
        text = f"{path} belongs to another user (uid {owner}), who can change it"
        if user != 0:
            raise ConfigError(text)
        log.warning("%s", text)  # root reads files of users in containers
    if mode & 0o022:
        raise ConfigError(
            f"{path} can be changed by others: chmod 600 it, since it says which account is used"
        )
    if not mode & 0o077:
        return
    text = f"{path} can be read by others: chmod 600 it, since it holds secrets"
    if strict:
        raise ConfigError(text)
    log.warning("%s", text)


def _json_object(path: Path, *, strict: bool) -> Mapping[str, Any]:
    content = _content(path, strict=strict)
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        problem = "not JSON"
    else:
        if _is_object(found):
            return found
        problem = "not a JSON object"
    raise ConfigError(f"{path} cannot be read: {problem}")


#: What each tool calls the settings.
_E2ECTL_KEYS: Final = {
    "api_key": "api_key",
    "auth_token": "auth_token",
    "project_id": "default_project_id",
    "location": "default_location",
}
_DOWNLOAD_KEYS: Final = {
    "api_key": "api_key",
    "auth_token": "api_auth_token",
    "project_id": "project_id",
    "location": "location",
}
_INI_KEYS: Final = {name: name for name in _E2ECTL_KEYS}


def _file(
    path: Path, stored: Mapping[str, Any], keys: Mapping[str, str], default: object
) -> ProfileFile:
    profiles = {
        name: Profile(name=name, path=path, stored=value, keys=keys)
        for name, value in stored.items()
    }
    return ProfileFile(path=path, profiles=profiles, default=default)


def _e2ectl(path: Path) -> ProfileFile:
    """e2ectl: ``{"profiles": {alias: {api_key, auth_token, …}}, "default": alias}``."""
    content = _json_object(path, strict=True)
    if "profiles" not in content:
        # The file that MyAccount offers for download, put where e2ectl keeps its own.
        return _from_download(path, content)
    stored = content["profiles"]
    return _file(path, stored if _is_object(stored) else {}, _E2ECTL_KEYS, content.get("default"))


def _e2e_cli(path: Path) -> ProfileFile:
    return _from_download(path, _json_object(path, strict=False))


def _from_download(path: Path, content: Mapping[str, Any]) -> ProfileFile:
    """e2e-cli: ``{alias: {api_key, api_auth_token}}``.

    Its "default" holds an alias and the context, no secrets.
    """
    pointer = content.get("default")
    stored = {key: value for key, value in content.items() if key != "default"}
    if not _is_object(pointer):
        return _file(path, stored, _DOWNLOAD_KEYS, None)
    alias = pointer.get("api_key")
    if alias != pointer.get("api_auth_token"):
        # A downloaded token that is named "default": these are secrets.
        return _file(path, content, _DOWNLOAD_KEYS, "default")
    if not isinstance(alias, str):
        return _file(path, stored, _DOWNLOAD_KEYS, None)
    if _is_object(stored.get(alias)):
        # The context belongs to the alias that the pointer names, and to no other.
        context = {key: pointer.get(key) for key in ("project_id", "location")}
        stored[alias] = {**context, **stored[alias]}
        stored.setdefault("default", stored[alias])
    return _file(path, stored, _DOWNLOAD_KEYS, alias)


def _ini(path: Path) -> ProfileFile:
    """The INI files of third-party tools: secrets in ``credentials``, the context in ``config``."""
    stored: dict[str, dict[str, Any]] = {}
    for file, prefix in ((path, ""), (path.with_name("config"), "profile ")):
        if _is_file(file):
            for section, values in _ini_sections(file).items():
                stored.setdefault(section.removeprefix(prefix), {}).update(values)
    return _file(path, stored, _INI_KEYS, "default" if "default" in stored else None)


def _ini_sections(path: Path) -> dict[str, dict[str, str]]:
    import configparser  # noqa: PLC0415  # for this format alone

    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    content = _content(path, strict=False)
    try:
        parser.read_string(content.decode("utf-8-sig"))
    except (configparser.Error, ValueError):
        pass  # raised below, where no context hangs on it
    else:
        return {section: dict(parser[section]) for section in parser.sections()}
    raise ConfigError(f"{path} cannot be read: not an INI file")


#: Where profiles are looked for, in this order.
_READERS: Final[tuple[tuple[str, Callable[[Path], ProfileFile]], ...]] = (
    (".e2e/config.json", _e2ectl),
    (".E2E_CLI/config.json", _e2e_cli),
    (".e2e/credentials", _ini),
)

#: The files in which profiles are looked for, for people.
PLACES: Final = tuple(f"~/{place}" for place, _ in _READERS)
