"""Settings from environment variables, by the names that the vendor's own clients use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

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
from .profiles import Profile, find_profile

#: The variable of each setting.
VARIABLES: Final = {
    "api_key": "E2E_API_KEY",
    "auth_token": "E2E_AUTH_TOKEN",
    "project_id": "E2E_PROJECT_ID",
    "location": "E2E_LOCATION",
    "base_url": "E2E_MYACCOUNT_BASE_URL",
    "profile": "E2E_PROFILE",
}
#: Variables of another product, and of tests.
_OTHERS: Final = ("E2E_TIR_", "E2E_TEST_")


@without_secrets
def from_environment(environ: Mapping[str, str], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments for `Session` from environment variables; an empty one counts as not set.

    ``E2E_PROFILE`` names a profile, which fills in what is not set. Key and token are taken from
    one place: both from variables, or both from the profile.

    Raises:
        ConfigError: A required variable is not set, one that is used is wrong, or the profile
            cannot be used.
    """
    settings = of_variables(environ)
    secrets = [setting.value for setting in settings.values() if setting.secret]
    problem = ""
    try:
        profile = named_profile(settings)
        if profile is not None:
            secrets += profile.secrets
        settings = merged(settings, profile)
        if "credentials" not in overrides:
            _require_secrets(settings, environ)
        found = session_arguments(settings, overrides)
    except ConfigError as error:
        problem = hidden(str(error), secrets)
    else:
        for word, name in misnamed(environ, {*settings, *overrides}).items():
            log.warning("the environment variable %s is not read: set %s", name, word)
        warn_of_no_project(settings, overrides, "E2E_PROJECT_ID is not set")
        return found
    raise ConfigError(problem)


def of_variables(environ: Mapping[str, str]) -> dict[str, Setting]:
    """The settings that the variables give."""
    values = {name: environ.get(variable, "").strip() for name, variable in VARIABLES.items()}
    return {
        name: Setting(name=name, value=value, source=VARIABLES[name])
        for name, value in values.items()
        if value
    }


def named_profile(settings: Mapping[str, Setting]) -> Profile | None:
    """The profile that a variable names.

    Raises:
        ConfigError: There is no such profile, or its file cannot be used.
    """
    named = settings.get("profile")
    if named is None:
        return None
    problem = ""
    try:
        return find_profile(str(named.value))
    except ConfigError as error:
        problem = str(error)
    raise ConfigError(f"{named.source}: {problem}")


def merged(settings: Mapping[str, Setting], profile: Profile | None) -> dict[str, Setting]:
    """The settings of the variables, and those of the profile that no variable gives."""
    stored = {} if profile is None else profile.settings()
    if any(name in settings for name in SECRETS):  # a key belongs to its token
        stored = {name: setting for name, setting in stored.items() if not setting.secret}
    found = {**stored, **settings}
    found.pop("profile", None)
    return found


def misnamed(environ: Mapping[str, str], present: set[str]) -> dict[str, str]:
    """Variables that are not read but seem to be meant, by the variable that is read."""
    names = [name for name, value in environ.items() if value.strip() and _is_ours(name)]
    if "credentials" in present:
        present = {*present, *SECRETS}
    return unread(names, VARIABLES, present)


def _is_ours(name: str) -> bool:
    """Whether a variable seems to be about this API."""
    return name.upper().startswith("E2E") and not name.startswith(_OTHERS)


def _require_secrets(settings: Mapping[str, Setting], environ: Mapping[str, str]) -> None:
    missing = [VARIABLES[name] for name in SECRETS if name not in settings]
    if not missing:
        return
    near = misnamed(environ, set(settings))
    hints = [f"{near[word]} is set, but not read" for word in missing if word in near]
    hint = f" ({'; '.join(hints)})" if hints else ""
    raise ConfigError(
        f"{' and '.join(missing)} not set{hint}: get both from MyAccount (API & IAM),"
        " name a profile in E2E_PROFILE, or pass credentials in code"
    )
