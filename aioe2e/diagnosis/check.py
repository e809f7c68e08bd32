"""Checks a session with one or two reads, and says in plain sentences what to do."""

from __future__ import annotations

from typing import Any, Final

import attrs

from aioe2e._call import Channel, Options
from aioe2e._plain import as_json
from aioe2e._text import counted
from aioe2e._wire import Context
from aioe2e.errors import (
    APIError,
    AuthenticationError,
    ConfigError,
    ConnectError,
    E2EError,
    PermissionDeniedError,
    RateLimitedError,
    ResponseError,
    ServerError,
)
from aioe2e.models import RateLimit

from .inspection import IMAGES, Inspection, inspect, reading

__all__ = ["Check", "check_session"]

#: Seconds by which two clocks may differ without being mentioned.
_TOLERATED_SKEW: Final = 60.0
#: Asked without project and location; one of the vendor's clients checks credentials with it.
_ACCOUNT: Final = reading("iam/multi-crn/", "reading the account")


@attrs.frozen(kw_only=True)
class Check:
    """The result of `Session.check`. ``str(check)`` is a few sentences."""

    #: Whether images can be listed.
    ok: bool
    #: Whether the server accepts the API key and the auth token; None if that is unknown.
    credentials_accepted: bool | None = None
    #: Whether the server accepts the project and the location; None if that is unknown.
    place_accepted: bool | None = None
    #: The number of saved images in the listing; None if there was no listing.
    images: int | None = None
    #: Seconds that the listing took; None if there was no listing.
    seconds: float | None = None
    #: Seconds by which the server's clock is ahead of the local one; None if it is unknown.
    clock_skew: float | None = None
    #: The request budget; None if the server did not report one.
    rate_limit: RateLimit | None = None
    #: Human-readable findings and advice.
    sentences: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the value as ``json.dumps`` takes it."""
        found = {field.name: getattr(self, field.name) for field in attrs.fields(Check)}
        return {name: as_json(value) for name, value in found.items()}

    def __str__(self) -> str:
        return "\n".join(self.sentences)


async def check_session(channel: Channel, options: Options) -> Check:
    """Check a session; see `Session.check`."""
    listing = await inspect(channel, options, IMAGES)
    sentences = [f"Requests go to {channel.settings.base}, for {_place(options.context)}."]
    images: int | None = None
    seconds: float | None = None
    credentials: bool | None = True
    place: bool | None = True
    if listing.error is not None:
        credentials, place, said = await _of_failure(channel, options, listing.error)
        sentences += said
    elif listing.verdict is not None:
        images = len(listing.verdict.data)
        seconds = listing.seconds
        sentences += _of_images(images, options.context)
    sentences += _of_clock(listing) + _of_budget(listing)
    return Check(
        ok=listing.error is None,
        credentials_accepted=credentials,
        place_accepted=place,
        images=images,
        seconds=seconds,
        clock_skew=listing.clock_skew,
        rate_limit=listing.rate_limit,
        sentences=tuple(sentences),
    )


def _place(context: Context) -> str:
    project, location = "no project", "no location"
    if context.project_id is not None:
        project = f"project {context.project_id}"
    if context.location is not None:
        location = f"location {context.location}"
    return f"{project} and {location}"


def _of_images(images: int, context: Context) -> list[str]:
    shown = counted(images, "saved image")
    said = [f"The API key and the auth token are accepted; the listing shows {shown}."]
    if images == 0:
        said.append(
            "An empty listing may also mean a wrong project or location:"
            " if there should be images, check both."
        )
    if context.project_id is None:
        said.append("No project is set: set E2E_PROJECT_ID, or project_id of the session.")
    if context.location is None:
        said.append("No location is set: set E2E_LOCATION, or location of the session.")
    return said


async def _of_failure(
    channel: Channel, options: Options, error: E2EError
) -> tuple[bool | None, bool | None, list[str]]:
    """Whether credentials and place are accepted if the images cannot be listed; and why not."""
    if not _is_refusal(error):
        return None, None, [_advice(error)]
    account = await inspect(channel, attrs.evolve(options, context=Context()), _ACCOUNT)
    if account.verdict is not None:
        said = (
            "The API key and the auth token are accepted, but the images cannot be listed:"
            f" {error.detail}."
        )
        advice = (
            f"Check the project and the location ({_place(options.context)}),"
            " and whether the auth token may read images."
        )
        return True, False, [said, advice]
    if _is_of_credentials(error) and _is_of_credentials(account.error):
        return False, None, [_advice(error)]
    return None, None, [_advice(error)]


def _is_refusal(error: E2EError) -> bool:
    """Whether the server refused the request for what it asks, not for its own state."""
    if isinstance(error, RateLimitedError | ServerError):
        return False
    return isinstance(error, APIError)


def _is_of_credentials(error: E2EError | None) -> bool:
    return isinstance(error, AuthenticationError | PermissionDeniedError)


def _advice(error: E2EError) -> str:
    """What went wrong and what to do, in a sentence or two."""
    if isinstance(error, RateLimitedError) and error.retry_after is not None:
        wait = f"Wait {error.retry_after:g} s before you send more."
        return f"The server throttles this account: {error.detail}. {wait}"
    for kinds, problem, advice in _ADVICE:
        if isinstance(error, kinds):
            return f"{problem}: {error.detail}. {advice}"
    return f"The images could not be listed: {error.detail}."


#: What went wrong and what to do, by the class of the error; the first that fits counts.
_ADVICE: Final[tuple[tuple[tuple[type[E2EError], ...], str, str], ...]] = (
    (
        (AuthenticationError, PermissionDeniedError),
        "The server refuses the API key or the auth token",
        "Get both from MyAccount (API & IAM), and check that the token has not expired.",
    ),
    ((RateLimitedError,), "The server throttles this account", "Wait before you send more."),
    ((ServerError,), "The server failed", "Try again later."),
    (
        (ConnectError,),
        "No connection could be made",
        (
            "Check base_url, the network, and whether a proxy is needed (proxies from the"
            " environment are used only if trust_env is on)."
        ),
    ),
    (
        (ConfigError,),
        "No auth token could be fetched",
        "Check the callable that returns it.",
    ),
    ((ResponseError,), "The reply does not look like the API's", "Check base_url."),
    (
        (APIError,),
        "The server refuses to list the images",
        "Check base_url, the project and the location.",
    ),
)


def _of_clock(listing: Inspection) -> list[str]:
    skew = listing.clock_skew
    if skew is None or abs(skew) <= _TOLERATED_SKEW:
        return []
    direction = "behind" if skew > 0 else "ahead of"
    sentence = (
        f"This machine's clock is {abs(skew):.0f} s {direction} the server's:"
        " set it, since it is compared with the dates of images."
    )
    return [sentence]


def _of_budget(listing: Inspection) -> list[str]:
    budget = listing.rate_limit
    if budget is None or budget.remaining is None:
        return []
    of = until = ""
    if budget.limit is not None:
        of = f" of {budget.limit}"
    if budget.reset_at is not None:
        until = f" until {budget.reset_at:%H:%M:%S} UTC"
    return [f"{budget.remaining}{of} requests are left{until}."]
