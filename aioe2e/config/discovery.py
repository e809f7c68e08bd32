"""Where each setting comes from, without any request and without showing a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import attrs

from aioe2e._plain import as_json
from aioe2e._text import table
from aioe2e.errors import ConfigError

from .address import DEFAULT_BASE_URL
from .environment import VARIABLES, merged, misnamed, named_profile, of_variables
from .found import CHECKS, SECRETS, Setting, hidden
from .profiles import Profile, ProfileFile, find_profile, profile_files
from .secrecy import described, label

__all__ = ["Discovery", "FoundProfile", "FoundSetting", "discovered"]

_NAMES = (*SECRETS, *CHECKS)
_NOT_SET = "not set"


@attrs.frozen(kw_only=True)
class FoundSetting:
    """One setting and where it comes from."""

    #: ``api_key``, ``auth_token``, ``project_id``, ``location`` or ``base_url``.
    name: str
    #: The value; ``[hidden]`` for a secret, a description for an invalid value, and None if it is
    #: not set.
    shown: str | None = None
    #: Where it comes from: a variable, a profile and its file, ``"default"`` or ``"not set"``.
    source: str


@attrs.frozen(kw_only=True)
class FoundProfile:
    """One profile in a file of one of the vendor's tools."""

    #: The name of the profile.
    name: str
    #: The path of the file that it is in.
    file: str
    #: Whether its file marks it as the default.
    is_default: bool
    #: Its project; None if it has none.
    project_id: str | None = None
    #: Its location; None if it has none.
    location: str | None = None
    #: Why it cannot be used; empty if it can.
    problem: str = ""


T = TypeVar("T", FoundSetting, FoundProfile)


@attrs.frozen(kw_only=True)
class Discovery:
    """The result of `Session.discover`. ``str(discovery)`` is a report without any secret."""

    #: Every setting and where it comes from.
    settings: tuple[FoundSetting, ...]
    #: All profiles of all files.
    profiles: tuple[FoundProfile, ...] = ()
    #: Problems that prevent a session from being made; empty if there are none.
    problems: tuple[str, ...] = ()
    #: Likely mistakes that do not prevent a session from being made.
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a session can be made."""
        return not self.problems

    def to_dict(self) -> dict[str, Any]:
        """Return the value as ``json.dumps`` takes it."""
        found: dict[str, Any] = as_json(attrs.asdict(self))
        return {**found, "ok": self.ok}

    def __str__(self) -> str:
        rows = [(each.name, each.shown or "", each.source) for each in self.settings]
        lines = table(("setting", "value", "from"), rows)
        lines += [f"problem: {problem}" for problem in self.problems]
        lines += [f"warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def discovered(environ: Mapping[str, str], profile: str | None) -> Discovery:
    """What a session would be built from.

    Args:
        environ: The environment variables.
        profile: A profile, as for `from_files`; None for what `from_environment` would use.
    """
    if profile is None:
        return _of_environment(environ)
    problems: list[str] = []
    settings: dict[str, Setting] = {}
    warnings: list[str] = []
    secrets: list[object] = []
    try:
        stored = find_profile(profile)
        secrets += stored.secrets
        settings = stored.settings()
        problems += _missing(settings, stored.keys, stored.source)
        warnings += _misnamed_keys(stored, settings)
    except ConfigError as error:
        problems.append(str(error))
    return _report(settings, problems, warnings, secrets)


def _of_environment(environ: Mapping[str, str]) -> Discovery:
    settings = of_variables(environ)
    secrets: list[object] = [each.value for each in settings.values() if each.secret]
    problems: list[str] = []
    profile: Profile | None = None
    try:
        profile = named_profile(settings)
        if profile is not None:
            secrets += profile.secrets
        settings = merged(settings, profile)
    except ConfigError as error:
        problems.append(str(error))
        settings.pop("profile", None)
    else:
        problems += _missing(settings, VARIABLES, "environment")
    warnings = [
        f"the environment variable {name} is not read: set {word}"
        for word, name in misnamed(environ, set(settings)).items()
    ]
    if profile is not None:
        warnings += _misnamed_keys(profile, settings)
    return _report(settings, problems, warnings, secrets)


def _missing(settings: Mapping[str, Setting], words: Mapping[str, str], where: str) -> list[str]:
    missing = [words[name] for name in SECRETS if name not in settings]
    return [f"{where}: {' and '.join(missing)} not set"] if missing else []


def _misnamed_keys(profile: Profile, settings: Mapping[str, Setting]) -> list[str]:
    return [
        f"{profile.source}: {word} is not read: write {key}"
        for key, word in profile.misnamed(set(settings)).items()
    ]


def _report(
    settings: Mapping[str, Setting],
    problems: list[str],
    warnings: list[str],
    secrets: list[object],
) -> Discovery:
    """What was found, with all profiles that there are, and without any secret in it."""
    files, unusable = profile_files()
    if "project_id" not in settings and not problems:
        warnings = [*warnings, "no project is given: most accounts need one"]
    warnings = [*warnings, *map(str, unusable)]
    problems = problems + _problems_of(settings)
    secrets = [*secrets, *(secret for file in files for secret in file.secrets)]
    profiles = [_profile(file, each) for file in files for each in file.profiles.values()]
    return Discovery(
        settings=_without_secrets([_shown(name, settings.get(name)) for name in _NAMES], secrets),
        profiles=_without_secrets(profiles, secrets),
        problems=_hidden_in(problems, secrets),
        warnings=_hidden_in(warnings, secrets),
    )


def _problems_of(settings: Mapping[str, Setting]) -> list[str]:
    """What is wrong with the values of settings."""
    return [setting.problem for setting in settings.values() if setting.problem]


def _hidden_in(texts: list[str], secrets: list[object]) -> tuple[str, ...]:
    return tuple(hidden(text, secrets) for text in texts)


def _shown(name: str, setting: Setting | None) -> FoundSetting:
    if setting is None:
        if name == "base_url":
            return FoundSetting(name=name, shown=DEFAULT_BASE_URL, source="default")
        return FoundSetting(name=name, source=_NOT_SET)
    if setting.problem:
        shown = f"[{described(setting.value)}]"
    elif setting.secret:
        shown = "[hidden]"
    else:
        shown = CHECKS[name](setting.value) or ""
    return FoundSetting(name=name, shown=shown, source=setting.source)


def _profile(file: ProfileFile, profile: Profile) -> FoundProfile:
    is_default = profile is file.default_profile
    settings: Mapping[str, Setting] = {}
    problems: list[str] = []
    try:
        settings = profile.settings()
        problems = _missing(settings, profile.keys, profile.source) + _problems_of(settings)
    except ConfigError as error:
        problems = [str(error)]
    context = {
        name: _shown(name, settings[name]).shown
        for name in ("project_id", "location")
        if name in settings
    }
    return FoundProfile(
        name=label(profile.name),
        file=str(profile.path),
        is_default=is_default,
        problem="; ".join(problems),
        **context,
    )


def _without_secrets(values: list[T], secrets: list[object]) -> tuple[T, ...]:
    """The same values with secrets hidden in all their texts."""
    return tuple(_without_secret_texts(value, secrets) for value in values)


def _without_secret_texts(value: T, secrets: list[object]) -> T:
    texts = {
        field.name: hidden(text, secrets)
        for field in attrs.fields(cast("Any", type(value)))
        if isinstance(text := getattr(value, field.name), str)
    }
    clean: T = attrs.evolve(cast("Any", value), **texts)
    return clean
