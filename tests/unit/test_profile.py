"""Credentials that users already have: the environment, and the files of both vendor tools."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

import pytest

from aioe2e import Credentials, Session
from aioe2e.config import from_environment, from_files
from aioe2e.errors import ConfigError

KEY, TOKEN = "k3y-of-the-user", "t0ken-of-the-user"
GIVEN = Credentials(api_key="another-key", auth_token="another-token")
ENVIRONMENT = {
    "E2E_API_KEY": KEY,
    "E2E_AUTH_TOKEN": TOKEN,
    "E2E_PROJECT_ID": "12345",
    "E2E_LOCATION": "Delhi",
}

E2ECTL = {
    "profiles": {
        "work": {
            "api_key": KEY,
            "auth_token": TOKEN,
            "default_project_id": "12345",
            "default_location": "Delhi",
        },
        "home": {"api_key": "home-key", "auth_token": "Bearer home-token"},
    },
    "default": "work",
}
E2E_CLI = {
    "work": {"api_key": KEY, "api_auth_token": TOKEN},
    "home": {"api_key": "home-key", "api_auth_token": "home-token"},
    "default": {
        "api_key": "work",
        "api_auth_token": "work",
        "project_id": 12345,
        "location": "Delhi",
    },
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def stored(home: Path, tool: str, content: Any, mode: int = 0o600) -> Path:
    path = home / tool / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)
    return path


def secrets(found: dict[str, Any]) -> tuple[Any, Any]:
    return found["credentials"].api_key, found["credentials"].auth_token


def refused(name: str | None = None) -> str:
    """The text of the error, which must hold no secret, and neither must what is printed of it."""
    with pytest.raises(ConfigError) as caught:
        from_files(name, {})
    printed = "".join(traceback.format_exception(caught.value))
    for secret in (KEY, TOKEN, "home-key", "home-token"):
        assert secret not in printed
    return str(caught.value)


# The environment


def test_all_four_variables_are_read() -> None:
    found = from_environment(ENVIRONMENT, {})
    assert secrets(found) == (KEY, TOKEN)
    assert (found["project_id"], found["location"]) == ("12345", "Delhi")


def test_project_and_location_may_be_left_out_or_empty() -> None:
    found = from_environment(
        {
            "E2E_API_KEY": f" {KEY} ",
            "E2E_AUTH_TOKEN": TOKEN,
            "E2E_PROJECT_ID": "",
            "E2E_LOCATION": " ",
        },
        {},
    )
    assert set(found) == {"credentials"}
    assert secrets(found) == (KEY, TOKEN)


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, "E2E_API_KEY and E2E_AUTH_TOKEN"),
        ({"E2E_API_KEY": KEY}, "E2E_AUTH_TOKEN"),
        ({"E2E_AUTH_TOKEN": TOKEN}, "E2E_API_KEY"),
        ({"E2E_API_KEY": KEY, "E2E_AUTH_TOKEN": "  "}, "E2E_AUTH_TOKEN"),
    ],
)
def test_what_is_not_set_is_named(environment: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(environment, {})
    assert str(caught.value).startswith(f"{names} not set")
    assert KEY not in str(caught.value)


def test_overrides_take_precedence_over_the_environment() -> None:
    found = from_environment(
        ENVIRONMENT, {"credentials": GIVEN, "project_id": 7, "user_agent": "x"}
    )
    assert found == {"credentials": GIVEN, "project_id": 7, "location": "Delhi", "user_agent": "x"}
    assert from_environment({}, {"credentials": GIVEN}) == {"credentials": GIVEN}


def test_a_session_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    assert "'12345'" in repr(Session.from_env())
    monkeypatch.setenv("E2E_PROJECT_ID", "../1")
    with pytest.raises(ConfigError, match="project_id"):
        Session.from_env()


# e2ectl


def test_the_default_profile_of_e2ectl_is_read(home: Path) -> None:
    stored(home, ".e2e", E2ECTL)
    found = from_files(None, {})
    assert secrets(found) == (KEY, TOKEN)
    assert (found["project_id"], found["location"]) == ("12345", "Delhi")


def test_a_named_profile_of_e2ectl_is_read(home: Path) -> None:
    stored(home, ".e2e", E2ECTL)
    found = from_files("home", {})
    assert secrets(found) == ("home-key", "home-token")
    assert set(found) == {"credentials"}


def test_the_only_profile_needs_no_name(home: Path) -> None:
    stored(home, ".e2e", {"profiles": {"x": {"api_key": KEY, "auth_token": TOKEN}}})
    assert secrets(from_files(None, {})) == (KEY, TOKEN)


@pytest.mark.parametrize(
    ("content", "name", "says"),
    [
        (E2ECTL, "other", "no profile 'other': "),
        ({**E2ECTL, "default": None}, None, "config.json has home, work; name one"),
        ({**E2ECTL, "default": "gone"}, None, "no default profile"),
        ({"profiles": {}}, None, "config.json has none; name one"),
        ({}, None, "config.json has none; name one"),
        ({"profiles": []}, "x", "config.json has none"),
        ({"profiles": {"x": KEY}}, "x", "the profile 'x' is not an object"),
        ({"profiles": {"x": {"api_key": KEY}}}, "x", "profile 'x': auth_token missing"),
        ({"profiles": {"x": {"auth_token": TOKEN}}}, "x", "profile 'x': api_key missing"),
        ({"profiles": {"x": {"api_key": KEY, "auth_token": TOKEN, "default_project_id": "no"}}}, "x", "profile 'x': project_id must be"),
        ({"profiles": {"x": {"api_key": 5, "auth_token": TOKEN}}}, "x", "api_key must be a string"),
        ({"profiles": {"x": {"api_key": [KEY], "auth_token": TOKEN}}}, "x", "api_key must be a string"),
        ([E2ECTL], None, "not a JSON object"),
        (b"{", None, "not JSON"),
        (b"", None, "not JSON"),
        (b"\xff\xfe\x00" + KEY.encode(), None, "not JSON"),
        (b'{"api_key": ' + KEY.encode(), None, "not JSON"),
        (b"[" * 100_000, None, "not JSON"),
    ],
)  # fmt: skip
def test_an_error_about_the_file_of_e2ectl_shows_no_secret(
    home: Path, content: Any, name: str | None, says: str
) -> None:
    stored(home, ".e2e", content)
    assert says in refused(name)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_file_of_e2ectl_that_others_can_reach_is_refused(home: Path, mode: int) -> None:
    stored(home, ".e2e", E2ECTL, mode)
    assert "chmod 600" in refused()


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_file_that_only_the_owner_can_reach_is_fine(home: Path, mode: int) -> None:
    stored(home, ".e2e", E2ECTL, mode)
    assert secrets(from_files(None, {})) == (KEY, TOKEN)


def test_a_directory_in_the_place_of_the_file_is_no_profile(home: Path) -> None:
    (home / ".e2e" / "config.json").mkdir(parents=True)
    assert "no profile" in refused()


def test_a_file_that_disappears_while_it_is_read_is_a_clear_error(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(home, ".e2e", E2ECTL)

    def gone(*_: object) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "open", gone)
    assert "cannot be read: No such file" in refused()


# e2e-cli and the downloaded tokens


def test_the_default_of_e2e_cli_names_a_profile_and_gives_its_context(home: Path) -> None:
    stored(home, ".E2E_CLI", E2E_CLI)
    found = from_files(None, {})
    assert secrets(found) == (KEY, TOKEN)
    assert (found["project_id"], found["location"]) == (12345, "Delhi")


def test_a_named_profile_of_e2e_cli_is_read(home: Path) -> None:
    stored(home, ".E2E_CLI", E2E_CLI)
    assert secrets(from_files("home", {})) == ("home-key", "home-token")
    assert secrets(from_files("default", {})) == (KEY, TOKEN)


def test_a_downloaded_file_with_one_token_needs_no_name(home: Path) -> None:
    stored(home, ".E2E_CLI", {"my token": {"api_key": KEY, "api_auth_token": TOKEN}})
    assert secrets(from_files(None, {})) == (KEY, TOKEN)


def test_a_downloaded_file_with_several_tokens_needs_one(home: Path) -> None:
    stored(home, ".E2E_CLI", {key: value for key, value in E2E_CLI.items() if key != "default"})
    assert "has home, work; name one" in refused()
    assert secrets(from_files("work", {})) == (KEY, TOKEN)


@pytest.mark.parametrize("name", [None, "default"])
def test_a_downloaded_token_that_is_named_default_is_a_token(home: Path, name: str | None) -> None:
    stored(home, ".E2E_CLI", {"default": {"api_key": KEY, "api_auth_token": TOKEN}})
    assert secrets(from_files(name, {})) == (KEY, TOKEN)


def test_secrets_in_place_of_an_alias_are_never_shown(home: Path) -> None:
    stored(
        home,
        ".E2E_CLI",
        {
            "default": {"api_key": KEY, "api_auth_token": TOKEN},
            "home": {"api_key": "home-key", "api_auth_token": "home-token"},
        },
    )
    refused("other")


def test_a_stale_alias_is_not_sent_as_a_credential(home: Path) -> None:
    pointer = {"api_key": "old-alias", "api_auth_token": "old-alias"}
    stored(home, ".E2E_CLI", {"default": pointer, "a": E2E_CLI["work"], "b": E2E_CLI["home"]})
    refused()


@pytest.mark.parametrize(
    "content",
    [{}, {"default": {}}, {"default": None}, {"default": "work"}, {"default": {"api_key": []}}, {"default": {"api_key": {}}}, {"default": {"api_key": None}}, {"a": 5},
     {"a": {"api_key": KEY}}, {"a": {"api_auth_token": TOKEN}}, {"a": {"api_key": KEY, "auth_token": TOKEN}}, [], None, 5],
    ids=repr,
)  # fmt: skip
def test_an_error_about_the_file_of_e2e_cli_shows_no_secret(home: Path, content: Any) -> None:
    stored(home, ".E2E_CLI", content)
    refused()


def test_a_file_of_e2e_cli_that_others_can_read_is_read_with_a_warning(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(home, ".E2E_CLI", E2E_CLI, 0o644)  # as the tool itself leaves it
    assert secrets(from_files(None, {})) == (KEY, TOKEN)
    assert "chmod 600" in caplog.text
    assert KEY not in caplog.text


def test_the_context_of_e2e_cli_applies_only_to_its_default(home: Path) -> None:
    stored(home, ".E2E_CLI", E2E_CLI)
    assert set(from_files("home", {})) == {"credentials"}
    assert set(from_files("work", {})) == {"credentials", "project_id", "location"}


# INI files


def written(home: Path, name: str, text: str) -> None:
    (home / ".e2e").mkdir(exist_ok=True)
    path = home / ".e2e" / name
    path.write_text(text)
    path.chmod(0o600)


def test_ini_files_are_read_with_the_context_of_the_config_file_next_to_them(home: Path) -> None:
    written(
        home,
        "credentials",
        f"[default]\napi_key={KEY}\nauth_token = {TOKEN}\n[other]\napi_key=other-key\nauth_token=a%b-token\n",
    )
    written(home, "config", "[profile default]\nproject_id=7\nlocation=Chennai\n")
    found = from_files(None, {})
    assert secrets(found) == (KEY, TOKEN)
    assert (found["project_id"], found["location"]) == ("7", "Chennai")
    assert secrets(from_files("other", {})) == ("other-key", "a%b-token")
    assert set(from_files("other", {})) == {"credentials"}


def test_an_error_about_a_damaged_ini_file_shows_no_secret(home: Path) -> None:
    written(home, "credentials", f"api_key={KEY}\n")
    assert "not an INI file" in refused()


# All


def test_a_named_profile_is_searched_in_every_file(home: Path) -> None:
    stored(home, ".e2e", E2ECTL)
    stored(
        home, ".E2E_CLI", {"elsewhere": {"api_key": "other-key", "api_auth_token": "other-token"}}
    )
    assert secrets(from_files("elsewhere", {})) == ("other-key", "other-token")
    text = refused("nowhere")
    assert "config.json has home, work; " in text
    assert "config.json has elsewhere" in text


def test_a_downloaded_file_at_the_path_of_e2ectl_is_read(home: Path) -> None:
    stored(home, ".e2e", {"my token": {"api_key": KEY, "api_auth_token": TOKEN}})
    assert secrets(from_files(None, {})) == (KEY, TOKEN)


def test_the_file_of_e2ectl_takes_precedence_over_that_of_e2e_cli(home: Path) -> None:
    stored(home, ".E2E_CLI", {"x": {"api_key": "other-key", "api_auth_token": "other-token"}})
    stored(home, ".e2e", E2ECTL)
    assert secrets(from_files(None, {})) == (KEY, TOKEN)


def test_without_any_file_both_places_are_named() -> None:
    text = refused()
    assert "~/.e2e/config.json" in text
    assert "~/.E2E_CLI/config.json" in text


def test_overrides_take_precedence_over_the_file(home: Path) -> None:
    stored(home, ".e2e", E2ECTL)
    found = from_files(None, {"credentials": GIVEN, "location": "Chennai"})
    assert found == {"credentials": GIVEN, "project_id": "12345", "location": "Chennai"}


def test_a_session_comes_from_a_profile(home: Path) -> None:
    stored(home, ".e2e", E2ECTL)
    assert "'12345'" in repr(Session.from_profile())
    with pytest.raises(ConfigError, match="other"):
        Session.from_profile("other")
