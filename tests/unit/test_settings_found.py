"""Settings that are mixed up, mistyped or unsafe: said, described, and never quoted."""

from __future__ import annotations

import base64
import copy
import io
import json
import logging
import os
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from rich.console import Console

from aioe2e import ConfigError, Credentials, Discovery, RetryPolicy, Session, Timeouts, UsageError
from aioe2e.config import (
    DEFAULT_BASE_URL,
    checked_base_url,
    checked_location,
    from_environment,
    from_files,
)
from aioe2e.config.found import meaning

KEY = "0f3c9a4e-7b21-4d5f-9c11-2a6b8e7d4c30"
TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl"
HEX = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
WHOLE = {
    "E2E_API_KEY": KEY,
    "E2E_AUTH_TOKEN": TOKEN,
    "E2E_PROJECT_ID": "12345",
    "E2E_LOCATION": "Delhi",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def own_frames(error: BaseException) -> str:
    """The traceback with the variables of the library's own frames, as error trackers print it."""
    found = traceback.TracebackException.from_exception(error, capture_locals=True)
    for frame in list(found.stack):
        if f"{os.sep}aioe2e{os.sep}" not in frame.filename:
            found.stack.remove(frame)
    return "".join(found.format())


def refused(environ: Mapping[str, str]) -> str:
    with pytest.raises(ConfigError) as caught:
        Session(**from_environment(environ, {}))
    printed = own_frames(caught.value)
    for secret in (KEY, TOKEN, HEX):
        assert secret not in printed
    assert caught.value.__context__ is None
    return str(caught.value)


def stored(home: Path, content: Any, tool: str = ".e2e", mode: int = 0o600) -> Path:
    path = home / tool / "config.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(mode)
    return path


def profiles(**named: Any) -> dict[str, Any]:
    return {"profiles": named, "default": next(iter(named))}


SOUND = {
    "api_key": KEY,
    "auth_token": TOKEN,
    "default_project_id": "12345",
    "default_location": "Delhi",
}


# Variables that are mixed up


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"E2E_PROJECT_ID": KEY}, "E2E_PROJECT_ID: project_id must be a positive whole number"),
        ({"E2E_PROJECT_ID": TOKEN}, "not a text of"),
        ({"E2E_LOCATION": TOKEN}, "E2E_LOCATION: location must be a name"),
        ({"E2E_LOCATION": KEY}, "looks like a secret"),
        ({"E2E_LOCATION": HEX}, "looks like a secret"),
        ({"E2E_API_KEY": TOKEN, "E2E_AUTH_TOKEN": KEY}, "E2E_API_KEY: it has the form of an auth token: are the API key and the token swapped?"),
        ({"E2E_API_KEY": f'"{KEY}"'}, "E2E_API_KEY: it begins or ends with a quotation mark"),
        ({"E2E_AUTH_TOKEN": f"'{TOKEN}'"}, "E2E_AUTH_TOKEN: it begins or ends with a quotation mark"),
        ({"E2E_AUTH_TOKEN": f"{TOKEN}'"}, "E2E_AUTH_TOKEN: it begins or ends with a quotation mark"),
        ({"E2E_PROJECT_ID": "'12345'"}, "a text of 7 characters that begins with a quotation mark"),
        ({"E2E_API_KEY": HEX * 2, "E2E_AUTH_TOKEN": KEY}, "has the form of an API key, and the API key does not: are the two swapped?"),
        ({"E2E_API_KEY": "Delhi", "E2E_LOCATION": KEY}, "E2E_API_KEY: it must have at least 6"),
        ({"E2E_API_KEY": "Chennai", "E2E_LOCATION": KEY}, "E2E_LOCATION: location must be a name"),
        ({"E2E_MYACCOUNT_BASE_URL": KEY}, "E2E_MYACCOUNT_BASE_URL: base_url must be an absolute URL"),
        ({"E2E_MYACCOUNT_BASE_URL": f"https://api.e2enetworks.com/{KEY}/"}, "a secret in its path"),
        ({"E2E_MYACCOUNT_BASE_URL": f"https://api.e2enetworks.com/?apikey={KEY}"}, "must not have a query"),
        ({"E2E_MYACCOUNT_BASE_URL": "http://api.e2enetworks.com"}, "must be https"),
        ({"E2E_PROFILE": KEY}, "E2E_PROFILE: no profile"),
    ],
)  # fmt: skip
def test_mixed_up_variables_are_named_and_their_values_are_not_shown(
    changes: dict[str, str], says: str
) -> None:
    assert says in refused({**WHOLE, **changes})


def test_a_secret_of_any_form_is_hidden_anywhere_in_a_text() -> None:
    key, token = "plain-key-of-mine", "plain-token-of-mine"
    for name in ("project_id", "location", "base_url", "user_agent"):
        for secret in (key, token):
            value: Any = f"https://example.com/{secret}" if name == "base_url" else secret
            with pytest.raises(ConfigError, match=name) as caught:
                Session(Credentials(api_key=key, auth_token=token), **{name: value})
            assert secret not in own_frames(caught.value)


@pytest.mark.parametrize("given", [(KEY, TOKEN), {"api_key": KEY}, KEY, [TOKEN]], ids=range(4))
def test_credentials_of_another_type_are_refused_and_kept_out_of_frames(given: Any) -> None:
    with pytest.raises(ConfigError, match="credentials must be of type Credentials") as caught:
        Session(given)
    assert KEY not in own_frames(caught.value)
    assert TOKEN not in own_frames(caught.value)


def test_a_secret_of_only_digits_is_refused_as_a_project() -> None:
    with pytest.raises(ConfigError, match="project_id holds a secret"):
        Session(Credentials(api_key="123456789", auth_token=TOKEN), project_id="123456789")


@pytest.mark.parametrize("field", ["attempt", "total"])
def test_a_refused_setting_is_described_and_not_quoted(field: str) -> None:
    with pytest.raises(
        ConfigError, match=f"Timeouts.{field} must be .*, not a text of 36"
    ) as caught:
        wrong: dict[str, Any] = {field: KEY}
        Timeouts(**wrong)
    assert KEY not in str(caught.value)


def test_the_frames_of_a_credentials_error_hold_no_secret() -> None:
    wrong: list[dict[str, Any]] = [
        {"api_key": TOKEN, "auth_token": KEY},
        {"api_key": KEY, "auth_token": "short"},
    ]
    for given in wrong:
        with pytest.raises(ConfigError) as caught:
            Credentials(**given)
        assert KEY not in own_frames(caught.value)
        assert TOKEN not in own_frames(caught.value)


def test_a_pretty_printer_that_reads_attrs_fields_shows_no_secret() -> None:
    console = Console(record=True, width=500, file=io.StringIO())
    console.print(Credentials(api_key=KEY, auth_token=TOKEN))
    text = console.export_text()
    assert "Credentials" in text
    assert KEY not in text
    assert TOKEN not in text
    assert not any(f.repr for f in attrs.fields(Credentials) if f.name != "key_in")


def test_key_in_accepts_query_and_header_only() -> None:
    assert Credentials(api_key=KEY, auth_token=TOKEN).key_in == "query"
    assert Credentials(api_key=KEY, auth_token=TOKEN, key_in="header").key_in == "header"
    with pytest.raises(ConfigError, match=r"Credentials.key_in must be 'query' or 'header'"):
        Credentials(api_key=KEY, auth_token=TOKEN, key_in="body")  # type: ignore[arg-type]  # the point


# Variables that are mistyped


@pytest.mark.parametrize(
    ("word", "setting"),
    [
        ("E2E_PROJECT", "project_id"), ("E2E_PROJCT_ID", "project_id"), ("e2e_project_id", "project_id"), ("default_project", "project_id"),
        ("E2E_REGION", "location"), ("E2E_LOCATON", "location"), ("E2E_DEFAULT_LOCATION", "location"), ("E2E_APIKEY", "api_key"),
        ("E2E_TOKEN", "auth_token"), ("api_auth_token", "auth_token"), ("E2ECTL_MYACCOUNT_BASE_URL", "base_url"), ("E2E_PROFIL", "profile"),
        ("E2E_DEBUG", None), ("E2E_TIMEOUT", None), ("created_at", None), ("", None), ("E2E", None),
    ],
)  # fmt: skip
def test_a_mistyped_word_stands_for_the_closest_setting(word: str, setting: str | None) -> None:
    assert meaning(word) == setting


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("E2E_PROJECT", "E2E_PROJECT_ID"),
        ("E2E_PROJECTID", "E2E_PROJECT_ID"),
        ("e2e_project_id", "E2E_PROJECT_ID"),
        ("E2E_REGION", "E2E_LOCATION"),
        ("E2E_BASE_URL", "E2E_MYACCOUNT_BASE_URL"),
        ("E2E_PROFILE_NAME", "E2E_PROFILE"),
    ],
)
def test_a_mistyped_variable_is_a_warning_that_names_the_right_one(
    name: str, right: str, caplog: pytest.LogCaptureFixture
) -> None:
    environ = {key: value for key, value in WHOLE.items() if key != right}
    from_environment({**environ, name: "value-of-mine"}, {})
    assert f"{name} is not read: set {right}" in caplog.text
    assert "value-of-mine" not in caplog.text


def test_a_mistyped_secret_is_named_in_the_error() -> None:
    environ = {**WHOLE, "E2E_APIKEY": KEY}
    del environ["E2E_API_KEY"]
    assert "E2E_API_KEY not set (E2E_APIKEY is set, but not read)" in refused(environ)


@pytest.mark.parametrize(
    "name", ["E2E_TIR_PROJECT_ID", "E2E_TEST_PROJECT_ID", "E2E_REGION", "PROJECT", "E2E_DEBUG"]
)
def test_variables_of_other_programs_are_left_alone(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        from_environment({**WHOLE, name: "x"}, {})
    assert caplog.text == ""


def test_an_argument_in_place_of_a_variable_gives_no_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"E2E_API_KEY": KEY, "E2E_AUTH_TOKEN": TOKEN, "E2E_PROJECT": "5"}
    from_environment(environ, {"project_id": None})
    assert caplog.text == ""


def test_no_project_is_a_warning(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    from_environment({"E2E_API_KEY": KEY, "E2E_AUTH_TOKEN": TOKEN}, {})
    assert "no project: E2E_PROJECT_ID is not set" in caplog.text
    caplog.clear()
    stored(home, profiles(work={"api_key": KEY, "auth_token": TOKEN}))
    from_files(None, {})
    assert "profile 'work' has no default_project_id" in caplog.text
    caplog.clear()
    from_files(None, {"project_id": 5})
    assert caplog.text == ""


# The base URL and the profile of the environment


@pytest.mark.parametrize("end", ["", "/", "/api/v1", "/api/v1/"])
def test_the_base_url_comes_from_the_environment(end: str) -> None:
    environ = {**WHOLE, "E2E_MYACCOUNT_BASE_URL": f"http://127.0.0.1:8400/myaccount{end}"}
    assert "http://127.0.0.1:8400/myaccount/api/v1/" in repr(
        Session(**from_environment(environ, {}))
    )
    assert from_environment(environ, {"base_url": "https://x"})["base_url"] == "https://x"


def test_a_profile_named_in_the_environment_fills_in_missing_variables(home: Path) -> None:
    stored(home, profiles(home=SOUND, work={**SOUND, "default_project_id": 7}))
    found = from_environment({"E2E_PROFILE": "work"}, {})
    assert found["credentials"] == Credentials(api_key=KEY, auth_token=TOKEN)
    assert (found["project_id"], found["location"]) == (7, "Delhi")
    found = from_environment({"E2E_PROFILE": "work", "E2E_LOCATION": "Chennai"}, {})
    assert (found["project_id"], found["location"]) == (7, "Chennai")
    given = {"E2E_API_KEY": "another-key", "E2E_AUTH_TOKEN": "another-token"}
    found = from_environment({"E2E_PROFILE": "work", **given}, {})
    assert found["credentials"] == Credentials(api_key="another-key", auth_token="another-token")
    assert found["project_id"] == 7


def test_a_key_from_a_variable_is_not_combined_with_the_token_of_a_profile(home: Path) -> None:
    stored(home, profiles(work=SOUND))
    with pytest.raises(ConfigError, match="E2E_AUTH_TOKEN not set"):
        from_environment({"E2E_PROFILE": "work", "E2E_API_KEY": "another-key"}, {})


def test_the_error_for_a_missing_profile_names_its_variable(home: Path) -> None:
    stored(home, profiles(work=SOUND))
    assert "E2E_PROFILE: no profile 'wrok': " in refused({**WHOLE, "E2E_PROFILE": "wrok"})


def test_from_env_reads_the_profile_that_the_environment_names(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(home, profiles(work=SOUND))
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("E2E_PROFILE", "work")
    monkeypatch.setenv("E2E_MYACCOUNT_BASE_URL", "http://localhost:8400/myaccount/")
    assert "http://localhost:8400/myaccount/api/v1/, project_id='12345'" in repr(Session.from_env())


# Where requests go


@pytest.mark.parametrize(
    "url",
    ["https://api.e2enetworks.com", "https://api.e2enetworks.com/", "https://API.e2enetworks.com//", "https://api.e2enetworks.com/api/v1", "https://api.e2enetworks.com:443/"],
)  # fmt: skip
def test_a_bare_origin_of_the_vendor_means_its_api(url: str) -> None:
    assert checked_base_url(url).lower().replace(":443", "") == DEFAULT_BASE_URL


@pytest.mark.parametrize(
    "url",
    ["http://[::1].evil.com", "http://[::1]evil.com/", "https://[::1].evil.com", "http://[::1]:80.evil.com", "http://[::1%25lo]/", "http://[]/", "https://a,b/", "https://a b"],
)  # fmt: skip
def test_an_invalid_host_is_refused_on_every_python(url: str) -> None:
    with pytest.raises(ConfigError, match="base_url"):
        checked_base_url(url)


def test_a_refused_url_is_described_and_not_quoted() -> None:
    with pytest.raises(ConfigError) as caught:
        checked_base_url(f"ftp://example.com/{HEX}")
    assert HEX not in str(caught.value)


@pytest.mark.parametrize("value", [KEY, HEX, KEY.upper()])
def test_a_location_that_looks_like_a_secret_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="looks like a secret") as caught:
        checked_location(value)
    assert value not in str(caught.value)


# Files of profiles


def told(name: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        from_files(name, {})
    printed = own_frames(caught.value)
    assert KEY not in printed
    assert TOKEN not in printed
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_the_name_of_a_profile_that_looks_like_a_secret_is_not_shown(home: Path) -> None:
    secret = "own-secret-of-mine"
    stored(home, profiles(work={**SOUND, "api_key": secret}, **{KEY: SOUND, secret: SOUND}))
    text = told("nowhere")
    assert "work" in text
    assert secret not in text
    assert KEY not in told(HEX)
    broken = {**SOUND, "auth_token": ""}
    stored(home, profiles(**{KEY: broken}))
    assert "auth_token missing" in told(KEY)


def test_control_characters_of_a_profile_s_name_are_escaped(home: Path) -> None:
    stored(home, profiles(**{"a\x1b[31m\n": {**SOUND, "api_key": ""}, "b": SOUND}))
    assert "a\\x1b[31m\\n" in told("c")
    assert "a\\x1b" in told("a\x1b[31m\n")


def test_an_error_names_only_some_of_many_profiles(home: Path) -> None:
    stored(home, {"profiles": {f"profile-{n:04}": SOUND for n in range(3000)}})
    assert len(told("x")) < 700
    assert "and 2990 more" in told("x")


@pytest.mark.parametrize(
    ("tool", "profile", "says"),
    [
        (".e2e", {"api_key": KEY, "api_auth_token": TOKEN}, "auth_token missing (api_auth_token is there, but not read)"),
        (".e2e", {"apikey": KEY, "auth_token": TOKEN}, "api_key missing (apikey is there, but not read)"),
    ],
)  # fmt: skip
def test_a_missing_key_is_named_as_in_its_file(
    home: Path, tool: str, profile: dict[str, str], says: str
) -> None:
    stored(home, profiles(work=profile), tool)
    assert says in told()


def test_a_missing_key_of_a_downloaded_file_is_named_as_in_that_file(home: Path) -> None:
    stored(home, {"mine": {"api_key": KEY, "auth_token": TOKEN}}, ".E2E_CLI")
    assert "api_auth_token missing (auth_token is there, but not read)" in told()


@pytest.mark.parametrize(
    ("key", "right"),
    [
        ("project_id", "default_project_id"),
        ("default_project", "default_project_id"),
        ("location", "default_location"),
        ("default_region", "default_location"),
    ],
)
def test_a_key_that_is_not_read_is_a_warning_that_names_the_right_one(
    home: Path, key: str, right: str, caplog: pytest.LogCaptureFixture
) -> None:
    profile = {name: value for name, value in SOUND.items() if name != right}
    stored(home, profiles(work={**profile, key: "5"}))
    from_files(None, {})
    assert f"{key} is not read: write {right}" in caplog.text


def test_unrelated_keys_of_a_profile_give_no_warning(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stored(home, profiles(work={**SOUND, "created_at": "2026", "note": "x"}))
    from_files(None, {})
    assert caplog.text == ""


def test_a_byte_order_mark_in_a_file_is_accepted(home: Path) -> None:
    stored(home, b"\xef\xbb\xbf" + json.dumps(profiles(work=SOUND)).encode())
    assert from_files(None, {})["location"] == "Delhi"
    (home / ".e2e" / "config.json").unlink()
    for name, text in (
        ("credentials", f"[default]\napi_key={KEY}\nauth_token={TOKEN}\n"),
        ("config", "[profile default]\nproject_id=7\n"),
    ):
        path = home / ".e2e" / name
        path.write_bytes(b"\xef\xbb\xbf" + text.encode())
        path.chmod(0o600)
    assert from_files(None, {})["project_id"] == "7"


def test_a_file_of_many_megabytes_is_not_read(home: Path) -> None:
    path = stored(home, b"")
    with path.open("r+b") as file:
        file.truncate(8 * 1024**3)
    assert "more than 1 MiB" in told()


@pytest.mark.parametrize("tool", [".e2e", ".E2E_CLI"])
@pytest.mark.parametrize("mode", [0o622, 0o602, 0o666, 0o620])
def test_a_file_that_others_can_change_is_refused(home: Path, tool: str, mode: int) -> None:
    stored(home, {"mine": {"api_key": KEY, "api_auth_token": TOKEN}}, tool, mode)
    assert "can be changed by others" in told()


def test_a_file_of_another_user_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(home, profiles(work=SOUND))
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner:
        assert "belongs to another user" in told()
    else:  # what root wrote is believed
        assert from_files(None, {})["location"] == "Delhi"


def test_root_is_warned_of_a_file_of_another_user(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    stored(home, profiles(work=SOUND))
    real = os.fstat

    def of_another(fd: int) -> os.stat_result:
        found = real(fd)
        return os.stat_result((*found[:4], 12345, *found[5:10]))

    monkeypatch.setattr(os, "fstat", of_another)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    from_files(None, {})
    assert "belongs to another user (uid 12345)" in caplog.text
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "belongs to another user" in told()


def test_a_home_that_cannot_be_found_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nowhere)
    assert "home directory" in told()


def test_a_folder_that_cannot_be_entered_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def barred(_: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_file", barred)
    assert "cannot be read: Permission denied" in told()


# The session's own arguments


async def _async_hook(_: object) -> None: ...


class _AsyncCallable:
    async def __call__(self, _: object) -> None: ...


@pytest.mark.parametrize("hook", [_async_hook, _AsyncCallable()], ids=["function", "object"])
def test_an_async_hook_is_refused(hook: Any) -> None:
    with pytest.raises(ConfigError, match="hooks must be plain callables"):
        Session(Credentials(api_key=KEY, auth_token=TOKEN), hooks=[hook])


def test_a_view_of_a_subclass_keeps_what_the_subclass_added() -> None:
    class Mine(Session):
        def __init__(self, label: str) -> None:
            super().__init__(Credentials(api_key=KEY, auth_token=TOKEN))
            self.label = label

    session = Mine("of mine")
    view = session.with_options(retry=RetryPolicy.none())
    assert type(view) is Mine
    assert view.label == "of mine"
    assert view.images is not session.images
    assert view.images is view.images


def test_a_session_that_could_not_be_built_can_be_printed() -> None:
    assert "could not be built" in repr(Session.__new__(Session))


@pytest.mark.parametrize("value", [10**5000, -(10**5000), 10**128], ids=["a", "b", "c"])
async def test_a_number_too_long_for_a_query_is_refused(value: int) -> None:
    session = Session(Credentials(api_key=KEY, auth_token=TOKEN))
    with pytest.raises(UsageError, match="query: a must be text or a whole number"):
        await session.request("GET", "nodes/", query={"a": value})


def test_copies_of_credentials_are_the_same_object() -> None:
    one = Credentials(api_key=KEY, auth_token=TOKEN)
    assert copy.copy(one) == attrs.evolve(one) == one
    assert hash(one) == hash(attrs.evolve(one))
    assert base64.b64encode(KEY.encode()).decode() not in repr(one)


# Where settings come from


def environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name in [name for name in os.environ if name.startswith("E2E_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def shown_in(found: Discovery) -> str:
    """All that is shown of it, in which no secret may stand."""
    texts = f"{found} {found!r} {json.dumps(found.to_dict())}"
    for secret in (KEY, TOKEN, HEX):
        assert secret not in texts
    return str(found)


def test_each_setting_says_where_it_comes_from(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = stored(home, profiles(work={**SOUND, "default_location": "Chennai"}))
    environment(monkeypatch, E2E_PROFILE="work", E2E_LOCATION="Delhi")
    found = Session.discover()
    of_profile = f"{path}, profile 'work'"
    assert {each.name: (each.shown, each.source) for each in found.settings} == {
        "api_key": ("[hidden]", of_profile),
        "auth_token": ("[hidden]", of_profile),
        "project_id": ("12345", of_profile),
        "location": ("Delhi", "E2E_LOCATION"),
        "base_url": (DEFAULT_BASE_URL, "default"),
    }
    assert found.ok
    assert found.problems == found.warnings == ()
    assert "location    Delhi" in shown_in(found)


def test_discover_reports_the_settings_of_a_named_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored(home, profiles(work=SOUND, home={**SOUND, "default_location": ""}))
    environment(monkeypatch, **{**WHOLE, "E2E_LOCATION": "Chennai"})
    found = Session.discover("home")
    assert [each.shown for each in found.settings][2:4] == ["12345", None]
    assert found.settings[3].source == "not set"
    assert [(each.name, each.is_default, each.location) for each in found.profiles] == [
        ("work", True, "Delhi"),
        ("home", False, None),
    ]
    shown_in(found)


@pytest.mark.parametrize(
    ("variables", "problem"),
    [
        ({}, "environment: E2E_API_KEY and E2E_AUTH_TOKEN not set"),
        ({"E2E_API_KEY": KEY}, "environment: E2E_AUTH_TOKEN not set"),
        ({**WHOLE, "E2E_PROJECT_ID": KEY}, "E2E_PROJECT_ID: project_id must be"),
        ({**WHOLE, "E2E_API_KEY": TOKEN, "E2E_AUTH_TOKEN": KEY}, "are the API key and the token swapped?"),
        ({**WHOLE, "E2E_PROFILE": "nowhere"}, "E2E_PROFILE: no profile"),
        ({**WHOLE, "E2E_MYACCOUNT_BASE_URL": f"http://x/{HEX}"}, "E2E_MYACCOUNT_BASE_URL: base_url must be https"),
    ],
)  # fmt: skip
def test_discover_reports_problems_without_raising(
    variables: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, **variables)
    found = Session.discover()
    assert not found.ok
    assert problem in " ".join(found.problems)
    shown_in(found)


def test_a_damaged_file_is_a_warning_and_a_bad_profile_has_its_problem(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment(monkeypatch, **WHOLE)
    stored(home, b"{")
    stored(home, {KEY: {"api_key": KEY}, "b": [], "c": SOUND}, ".E2E_CLI")
    found = Session.discover()
    assert found.ok
    assert "not JSON" in found.warnings[0]
    assert [bool(each.problem) for each in found.profiles] == [True, True, True]
    assert "api_auth_token not set" in found.profiles[2].problem
    shown_in(found)
    assert "not JSON" in Session.discover("x").problems[0]


def test_a_mistyped_variable_is_a_warning_of_the_discovery(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment(monkeypatch, E2E_API_KEY=KEY, E2E_AUTH_TOKEN=TOKEN, E2E_PROJECT="5")
    assert Session.discover().warnings == (
        "the environment variable E2E_PROJECT is not read: set E2E_PROJECT_ID",
        "no project is given: most accounts need one",
    )
