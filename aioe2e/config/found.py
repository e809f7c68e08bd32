"""Settings that were found outside the program: checked, and turned into `Session` arguments."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

import attrs

from aioe2e.errors import ConfigError

from .address import checked_base_url, checked_location, checked_project_id
from .secrecy import label, redactor_of, settings_with_secrets
from .values import Credentials, checked_secret

log: Final = logging.getLogger("aioe2e")

P = ParamSpec("P")
T = TypeVar("T")

SECRETS: Final = ("api_key", "auth_token")
#: What is checked by what, apart from the secrets.
CHECKS: Final[Mapping[str, Callable[[object], str | None]]] = {
    "project_id": checked_project_id,
    "location": checked_location,
    "base_url": checked_base_url,
}


@attrs.frozen(kw_only=True)
class Setting:
    """One setting that was found."""

    #: The argument of `Session` or `Credentials` that it stands for.
    name: str
    #: As it was found, not checked.
    value: object = attrs.field(repr=False)
    #: Where it was found, for people.
    source: str
    #: What it is called in that place, for the text of an error.
    word: str = "it"

    @property
    def secret(self) -> bool:
        """Whether its value must not be shown."""
        return self.name in SECRETS

    @property
    def problem(self) -> str:
        """What is wrong with the value; empty if nothing is. It never shows a secret."""
        check = CHECKS.get(self.name)
        if check is None:
            check = partial(checked_secret, self.word, is_token=self.name == "auth_token")
        try:
            check(self.value)
        except ConfigError as error:
            return f"{self.source}: {error}"
        return ""


def session_arguments(
    settings: Mapping[str, Setting], overrides: Mapping[str, Any]
) -> dict[str, Any]:
    """Arguments for `Session`.

    Args:
        settings: What was found, by name; both secrets among them unless `overrides` has
            credentials.
        overrides: Arguments that take precedence over what was found.

    Raises:
        ConfigError: A setting that is used is wrong; the text says where it was found.
    """
    given = set(overrides)
    if "credentials" in overrides:
        given.update(SECRETS)
    used = {name: setting for name, setting in settings.items() if name not in given}
    for setting in used.values():
        if problem := setting.problem:
            raise ConfigError(problem)
    found = {name: used[name].value for name in CHECKS if name in used}
    if "credentials" not in overrides:
        found["credentials"] = _credentials(used, found)
    return {**found, **overrides}


def _credentials(used: Mapping[str, Setting], others: Mapping[str, object]) -> Credentials:
    """The credentials, if none of the other settings contains one of the secrets."""
    secrets: dict[str, Any] = {name: used[name].value for name in SECRETS}
    for name in settings_with_secrets(others, secrets.values()):
        setting = used[name]
        raise ConfigError(f"{setting.source}: {setting.word} contains the key or the token")
    return Credentials(**secrets)


def warn_of_no_project(
    settings: Mapping[str, Setting], overrides: Mapping[str, Any], where: str
) -> None:
    """Warn if no project is set: a job that deletes should not guess which one is meant."""
    if "project_id" in {*settings, *overrides}:
        return
    log.warning(
        "no project: %s; most accounts need one (in code, a project_id of None means that none is"
        " needed)",
        where,
    )


def without_secrets(function: Callable[P, T]) -> Callable[P, T]:
    """Raise the errors of a function without its frames, whose variables hold secrets."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ConfigError as error:
            problem = str(error)
        del args, kwargs
        raise ConfigError(problem)

    return run


def hidden(text: str, values: Iterable[object]) -> str:
    """A text without the values, which are secrets or were given in place of one."""
    return redactor_of(values).hide(text)


#: Words that people and other tools use: their letters, without a prefix.
_MEANINGS: Final = {
    "apikey": "api_key",
    "key": "api_key",
    "authtoken": "auth_token",
    "apiauthtoken": "auth_token",
    "apitoken": "auth_token",
    "accesstoken": "auth_token",
    "token": "auth_token",
    "project": "project_id",
    "projectid": "project_id",
    "location": "location",
    "region": "location",
    "baseurl": "base_url",
    "myaccountbaseurl": "base_url",
    "apiurl": "base_url",
    "endpoint": "base_url",
    "profile": "profile",
    "profilename": "profile",
}
_PREFIXES: Final = re.compile(r"^(?:e2ectl|e2e|default|cloud)_?")


def meaning(word: str) -> str | None:
    """The setting that a variable or a key is about, even if it is mistyped; else None."""
    stem = word.lower()
    while (shorter := _PREFIXES.sub("", stem)) != stem:
        stem = shorter
    stem = re.sub(r"[^a-z]", "", stem)
    if stem in _MEANINGS:
        return _MEANINGS[stem]
    import difflib  # noqa: PLC0415  # only for what is mistyped

    close = difflib.get_close_matches(stem, _MEANINGS, 1, 0.85)
    return _MEANINGS[close[0]] if close else None


def unread(
    words: Iterable[object], known: Mapping[str, str], present: Iterable[str]
) -> dict[str, str]:
    """Words that are not read although they seem to be about a setting that is missing.

    Args:
        words: What was found.
        known: The word that is read, for each setting.
        present: Settings that are set.

    Returns:
        The word that was found, for each word that should be there instead.
    """
    absent = set(known) - set(present)
    found: dict[str, str] = {}
    for word in words:
        if isinstance(word, str) and word not in known.values():
            about = meaning(word)
            if about in absent:
                found.setdefault(known[about], label(word))
    return found
