"""Every setting refuses invalid values, names itself, and never shows a secret."""

from __future__ import annotations

import copy
import math
import pickle
import traceback
from typing import Any, cast

import attrs
import pytest

from aioe2e import ConfigError, Credentials, Dialect, Limits, RetryPolicy, Session, Timeouts
from aioe2e._call.tokens import Tokens
from aioe2e._text import Redactor

KEY, TOKEN = "k3y-of-the-user", "t0ken-of-the-user"
NO_NUMBERS = [
    "1",
    "",
    None,
    True,
    False,
    [],
    {},
    1j,
    math.nan,
    math.inf,
    -math.inf,
    10**400,
    -(10**5000),
    object(),
]

SECONDS = [(Timeouts, name) for name in ("attempt", "total", "connect")]
DELAYS = [(RetryPolicy, name) for name in ("base", "cap", "max_retry_after", "look")]
COUNTS: list[tuple[type[Any], str, int]] = [
    (RetryPolicy, "attempts", 1),
    (Limits, "in_flight", 1),
    (Limits, "max_body", 1024),
    (Limits, "retry_budget", 0),
]


def short(value: object) -> str:
    """An id for a parameter: numbers of thousands of digits have no text."""
    return type(value).__name__


def refused(model: Any, field: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        model(**{field: value})
    text = str(caught.value)
    assert text.startswith(f"{model.__name__}.{field} must be ")
    assert len(text) < 300
    return text


@pytest.mark.parametrize(("model", "field"), SECONDS)
@pytest.mark.parametrize(
    "value", [value for value in NO_NUMBERS if value is not None] + [0, 0.0, -1, -0.5], ids=short
)
def test_a_timeout_is_a_finite_number_above_0(model: Any, field: str, value: Any) -> None:
    refused(model, field, value)


@pytest.mark.parametrize(("model", "field"), SECONDS)
@pytest.mark.parametrize("value", [None, 0.001, 1, 3600.5])
def test_a_timeout_may_be_none(model: Any, field: str, value: Any) -> None:
    assert getattr(model(**{field: value}), field) == value


@pytest.mark.parametrize(("model", "field"), DELAYS)
@pytest.mark.parametrize("value", [*NO_NUMBERS, -1, -0.001], ids=short)
def test_a_delay_is_a_finite_number_of_0_or_more(model: Any, field: str, value: Any) -> None:
    refused(model, field, value)


@pytest.mark.parametrize(("model", "field"), DELAYS)
@pytest.mark.parametrize("value", [0, 0.0, 0.5, 100])
def test_a_delay_may_be_0(model: Any, field: str, value: Any) -> None:
    assert getattr(model(**{field: value}), field) == value


@pytest.mark.parametrize(("model", "field", "least"), COUNTS)
def test_a_count_is_a_whole_number_not_below_its_minimum(
    model: Any, field: str, least: int
) -> None:
    assert getattr(model(**{field: least}), field) == least
    values: list[Any] = [
        least - 1,
        -1,
        -(10**5000),
        float(least),
        str(least),
        None,
        True,
        math.inf,
        [],
    ]
    for value in values:
        assert str(least) in refused(model, field, value)


@pytest.mark.parametrize(
    "value", [value for value in NO_NUMBERS if value is not None] + [0, -1], ids=short
)
def test_a_rate_is_a_finite_number_above_0(value: Any) -> None:
    refused(Limits, "per_second", value)


@pytest.mark.parametrize("value", [None, 0.1, 5, 1e6])
def test_a_rate_may_be_none(value: Any) -> None:
    assert Limits(per_second=value).per_second == value


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_adaptive_is_true_or_false(value: Any) -> None:
    refused(Limits, "adaptive", value)


def test_the_defaults_are_the_documented_ones() -> None:
    assert attrs.astuple(Timeouts()) == (30.0, 120.0, 10.0)
    assert attrs.astuple(RetryPolicy()) == (4, 0.5, 20.0, 120.0, 10.0)
    limits = Limits()
    assert (limits.in_flight, limits.per_second, limits.adaptive) == (16, None, True)
    assert (limits.max_body, limits.retry_budget) == (16 * 1024 * 1024, 100)


def test_no_retries_is_one_attempt() -> None:
    assert RetryPolicy.none().attempts == 1


@pytest.mark.parametrize("value", [Timeouts(), RetryPolicy(), Limits()])
def test_settings_can_be_compared_copied_and_pickled_but_not_changed(value: Any) -> None:
    assert value == type(value)() == pickle.loads(pickle.dumps(value)) == copy.deepcopy(value)
    assert hash(value) == hash(type(value)())
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, 1)
    with pytest.raises(TypeError):
        type(value)(1)


def test_evolved_settings_are_checked_again() -> None:
    with pytest.raises(ConfigError):
        attrs.evolve(Limits(), in_flight=0)


# Credentials


@pytest.mark.parametrize("field", ["api_key", "auth_token"])
@pytest.mark.parametrize(
    "secret",
    ["", " ", "12345", "  12345  ", "abc def", "abc\ndef", "abcdef\x00", "schlüssel", "“quoted-key”", "\ud800abcdef", "abc\tdefg", "abcde\x7f", None, 5, b"k3y-of-the-user",
     True, [], ["k3y-of-the-user"]],
    ids=repr,
)  # fmt: skip
def test_an_unusable_secret_is_refused_and_not_shown(field: str, secret: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Credentials(**{"api_key": KEY, "auth_token": TOKEN, field: secret})
    text = "".join(traceback.format_exception(caught.value, limit=0))
    assert f"Credentials.{field}" in text
    if isinstance(secret, str) and secret.strip():
        assert secret.strip() not in text
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("prefix", ["Bearer ", "bearer ", "BEARER   ", "  Bearer "])
def test_a_token_may_come_with_bearer_before_it(prefix: str) -> None:
    assert Credentials(api_key=KEY, auth_token=prefix + TOKEN).auth_token == TOKEN


def test_surrounding_space_is_trimmed() -> None:
    credentials = Credentials(api_key=f" {KEY}\n", auth_token=f"\t{TOKEN} ")
    assert (credentials.api_key, credentials.auth_token) == (KEY, TOKEN)


@pytest.mark.parametrize("token", ["Bearer", "Bearer ", " bearer", "Bearer abc"])
def test_a_token_of_only_the_word_bearer_is_refused(token: str) -> None:
    with pytest.raises(ConfigError):
        Credentials(api_key=KEY, auth_token=token)


def test_credentials_show_nothing_and_are_not_pickled() -> None:
    credentials = Credentials(api_key=KEY, auth_token=TOKEN)
    for text in (
        repr(credentials),
        str(credentials),
        f"{credentials}",
        f"{credentials}",
        repr([credentials]),
    ):
        assert KEY not in text
        assert TOKEN not in text
        assert "[hidden]" in text
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(credentials)
    assert copy.copy(credentials) is credentials
    assert copy.deepcopy({"c": credentials})["c"] is credentials


def test_credentials_cannot_be_changed() -> None:
    credentials = Credentials(api_key=KEY, auth_token=TOKEN)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        credentials.api_key = "x"  # type: ignore[misc]  # that is the point
    assert credentials == Credentials(api_key=KEY, auth_token=TOKEN)


def test_a_token_may_be_a_callable() -> None:
    async def token() -> str:
        return TOKEN

    assert Credentials(api_key=KEY, auth_token=token).auth_token is token


def test_an_api_key_may_not_be_a_callable() -> None:
    with pytest.raises(ConfigError):
        Credentials(api_key=cast("str", lambda: KEY), auth_token=TOKEN)


@pytest.mark.parametrize("answer", [TOKEN, f"Bearer {TOKEN}", f" {TOKEN}\n"])
async def test_a_token_from_a_callable_is_trimmed_like_a_given_one(answer: str) -> None:
    async def token() -> str:
        return answer

    tokens = Tokens(token, Redactor())
    await tokens.get()
    assert tokens.current == TOKEN


@pytest.mark.parametrize("answer", ["", "abc", None, 5, f"{TOKEN} {TOKEN}"])
async def test_an_unusable_token_from_a_callable_is_refused_and_not_shown(answer: Any) -> None:
    async def token() -> Any:
        return answer

    with pytest.raises(ConfigError) as caught:
        await Tokens(token, Redactor()).get()
    assert TOKEN not in "".join(traceback.format_exception(caught.value))


async def test_the_error_of_a_token_callable_names_the_exception_class_without_its_text() -> None:
    async def token() -> str:
        raise ValueError(f"{TOKEN} has expired")

    with pytest.raises(ConfigError, match="ValueError") as caught:
        await Tokens(token, Redactor()).get()
    assert caught.value.__context__ is None
    assert "has expired" not in str(caught.value)


# The session's own arguments


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("credentials", None),
        ("credentials", (KEY, TOKEN)),
        ("timeouts", 30),
        ("retry", 3),
        ("limits", {"in_flight": 3}),
        ("dialect", "auto"),
        ("hooks", [1]),
        ("http", "session"),
        ("user_agent", ""),
        ("user_agent", "x\r\nX-Evil: 1"),
        ("user_agent", "ü"),
        ("user_agent", "x" * 500),
        ("user_agent", 5),
        ("trust_env", "no"),
        ("trust_env", 1),
        ("base_url", "http://api.e2enetworks.com"),
        ("project_id", 0),
        ("location", "Delhi?x"),
    ],
)
def test_a_session_names_an_invalid_argument(argument: str, value: Any) -> None:
    arguments: dict[str, Any] = {
        "credentials": Credentials(api_key=KEY, auth_token=TOKEN),
        argument: value,
    }
    with pytest.raises(ConfigError, match=argument) as caught:
        Session(**arguments)
    assert KEY not in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_the_repr_of_a_session_shows_the_url_and_no_secret() -> None:
    session = Session(Credentials(api_key=KEY, auth_token=TOKEN), project_id=5, location="Delhi")
    text = repr(session)
    assert "https://api.e2enetworks.com/myaccount/api/v1/" in text
    assert "Delhi" in text
    assert KEY not in text
    assert TOKEN not in text
    assert "closed" not in text


def test_the_dialects_are_four() -> None:
    assert [dialect.value for dialect in Dialect] == ["documented", "current", "put", "auto"]
