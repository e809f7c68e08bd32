"""Where settings come from, and what is said about them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_account import Account, opened

import aioe2e

KEY, TOKEN = "key-of-the-profile-0123", "token-of-the-profile-0123"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Account]:
    monkeypatch.setenv("HOME", str(tmp_path))
    yield from opened(monkeypatch, tmp_path)


@pytest.fixture
def profile(account: Account, tmp_path: Path) -> Path:
    """A file of e2ectl with the credentials of the emulated account."""
    file = tmp_path / ".e2e" / "config.json"
    file.parent.mkdir()
    found = {
        "default": "main",
        "profiles": {
            "main": {
                "api_key": account.fake.credentials.api_key,
                "auth_token": account.fake.credentials.auth_token,
                "default_project_id": str(account.fake.project_id),
                "default_location": account.fake.location,
            },
            "other": {"api_key": KEY, "auth_token": TOKEN},
        },
    }
    file.write_text(json.dumps(found))
    file.chmod(0o600)
    return file


@pytest.fixture
def no_environment(monkeypatch: pytest.MonkeyPatch, account: Account) -> Account:
    for name in ("E2E_API_KEY", "E2E_AUTH_TOKEN", "E2E_PROJECT_ID", "E2E_LOCATION"):
        monkeypatch.delenv(name)
    return account


@pytest.mark.usefixtures("profile")
class TestProfiles:
    def test_all_are_listed_and_no_secret_with_them(self, account: Account) -> None:
        ran = account.run("profiles", "list", "--json")
        assert [item["name"] for item in ran.items] == ["main", "other"]
        assert [item["is_default"] for item in ran.items] == [True, False]
        assert KEY not in ran.out
        assert TOKEN not in ran.out
        assert account.run("profiles", "list", "-q").lines == ["main", "other"]

    def test_show_says_where_each_setting_comes_from(self, account: Account) -> None:
        ran = account.run("profiles", "show", "--json", "--location", "Mumbai")
        found = {item["name"]: item for item in ran.items}
        assert ran.code == 0
        assert "E2E_API_KEY" in found["api_key"]["source"]
        assert found["api_key"]["shown"] == "[hidden]"
        assert found["location"] == {"name": "location", "shown": "Mumbai", "source": "--location"}
        assert str(account.fake.credentials.auth_token) not in ran.out

    def test_a_profile_that_is_named_is_shown(self, account: Account) -> None:
        ran = account.run("profiles", "show", "--alias", "other", "--json")
        sources = {item["name"]: item["source"] for item in ran.items}
        assert "other" in sources["api_key"]
        assert KEY not in ran.out

    def test_without_an_environment_the_default_profile_is_used(
        self, no_environment: Account
    ) -> None:
        ran = no_environment.run("profiles", "show", "--json")
        assert "main" in {item["name"]: item["source"] for item in ran.items}["api_key"]
        assert len(no_environment.run("images", "list", "-q").lines) == 40

    def test_a_profile_is_used_by_name(self, account: Account) -> None:
        assert account.run("images", "list", "--profile", "main").code == 0
        assert account.run("images", "list", "--profile", "other").code == 3
        assert account.run("images", "list", "--profile", "maln").code == 4


def test_what_is_missing_is_said_with_exit_code_4(no_environment: Account) -> None:
    ran = no_environment.run("profiles", "show")
    assert ran.code == 4
    assert "E2E_API_KEY" in ran.err
    assert "no profiles" in no_environment.run("profiles", "list").err


class TestDoctor:
    def test_all_is_well(self, account: Account) -> None:
        ran = account.run("doctor")
        assert ran.code == 0
        assert "40 saved images" in ran.out
        assert ran.err == ""
        (found,) = account.run("doctor", "--json").items
        assert found["ok"] is True

    def test_credentials_that_are_refused(
        self, account: Account, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("E2E_API_KEY", KEY)
        ran = account.run("doctor")
        assert ran.code == 3
        assert KEY not in ran.out + ran.err

    def test_a_project_that_is_refused(self, account: Account) -> None:
        account.fake.inject("404-json", "list", times=9)
        assert account.run("doctor").code == 4

    def test_a_server_in_trouble(self, account: Account) -> None:
        account.fake.inject("503-json", times=50)
        assert account.run("doctor", "--timeout", "0.3").code == 5

    def test_a_field_report_names_nothing_of_the_account(
        self, account: Account, tmp_path: Path
    ) -> None:
        file = tmp_path / "report.json"
        assert account.run("doctor", "--report", str(file)).code == 0
        text = file.read_text()
        assert json.loads(text)
        assert not [id_ for id_ in account.fake.images if id_ in text]
        assert account.fake.credentials.api_key not in text
        assert account.writes == 0
        assert account.run("doctor", "--report", str(file)).code == 2  # never over another file

    def test_a_trial_is_asked_about_and_leaves_nothing(
        self, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        defaults = aioe2e.Session.field_report.__kwdefaults__
        assert defaults is not None
        monkeypatch.setitem(defaults, "interval", 0.05)
        node, before = next(iter(account.fake.nodes)), set(account.fake.images)
        file = tmp_path / "report.json"
        words = ("doctor", "--report", str(file), "--writes", node)
        assert account.run(*words).code == 2
        assert not file.exists()
        ran = account.run(*words, "--yes")
        assert ran.code == 0
        assert "deleting image" in ran.err
        assert set(account.fake.images) == before
        assert "answers" in json.loads(file.read_text())
        assert account.run("doctor", "--writes", node).code == 2
