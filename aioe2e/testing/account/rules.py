"""What the emulated API refuses, and how it behaves where little is known about the live one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypedDict, TypeVar

import attrs

from aioe2e.testing import _checks as checks

_T = TypeVar("_T")


class RuleOptions(TypedDict, total=False):
    """The fields of `Rules` as keywords of `FakeE2E`."""

    unique_names: bool
    refuse_in_use: bool
    refuse_busy_node: bool
    conflict_status: int
    save_seconds: float
    save_result: str
    visible_after: float
    disk_suffix: bool
    image_id_in_save: bool
    listing_lag: float
    read_only: bool
    required_query: Collection[str]
    projects: Collection[str] | None
    strict_slash: bool
    refuse_dialect_with: int
    burst: float | None
    throttle_html: bool


def _flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        checks.refuse(name, "True or False", value)


def _refusal(name: str, value: object) -> None:
    if not checks.is_whole(value, least=400) or value > 599:
        checks.refuse(name, "an HTTP status from 400 to 599", value)


def _result(name: str, value: object) -> None:
    if value not in ("Ready", "Error"):
        checks.refuse(name, "'Ready' or 'Error'", value)


def _burst(name: str, value: object) -> None:
    if value is not None and (not checks.is_number(value) or value < 1):
        checks.refuse(
            name, "a number of requests of 1 or more, or None for one second's worth", value
        )


def _projects(name: str, value: object) -> None:
    if value is not None:
        checks.words(name, value)


def _knob(default: _T, check: Callable[[str, Any], object]) -> _T:
    """A field that is checked when the rules are made."""
    return attrs.field(default=default, validator=checks.checked(check))


@attrs.frozen(kw_only=True)
class Rules:
    """The knobs of the emulated API. Each is also a keyword of `FakeE2E`.

    Raises:
        UsageError: A value has the wrong type or makes no sense; it names the field.
    """

    #: Refuse a name that another image has, for rename and for save.
    unique_names: bool = _knob(default=True, check=_flag)
    #: Refuse to delete an image that VMs, clones or scaler groups use.
    refuse_in_use: bool = _knob(default=True, check=_flag)
    #: Refuse to save a node that is being saved.
    refuse_busy_node: bool = _knob(default=True, check=_flag)
    #: The HTTP status of these three refusals; 412 is the API's usual one.
    conflict_status: int = _knob(412, _refusal)
    #: Seconds for which a saved image is ``Creating`` and its node ``Saving``.
    save_seconds: float = _knob(0.2, checks.seconds)
    #: The state in which a save ends: ``"Ready"`` or ``"Error"``.
    save_result: str = _knob("Ready", _result)
    #: Seconds until a saved image shows up in the listing; `listing_lag` comes on top.
    visible_after: float = _knob(0.0, checks.seconds)
    #: List a saved image as ``<name>-disk-0``, with the plain name as its ``os_distribution``.
    disk_suffix: bool = _knob(default=False, check=_flag)
    #: Name the new image in the reply to a save.
    image_id_in_save: bool = _knob(default=False, check=_flag)
    #: The listing shows the state of so many seconds ago. What a test changes by its own hand shows
    #: at once.
    listing_lag: float = _knob(0.0, checks.seconds)
    #: The token may list, and change nothing.
    read_only: bool = _knob(default=False, check=_flag)
    #: Parameters without which a request is a 400, such as ``("project_id", "location")``.
    required_query: Collection[str] = _knob((), checks.words)
    #: The ids of the projects that there are; a request that names another is a 404. None for any.
    projects: Collection[str] | None = _knob(None, _projects)
    #: A path that does not end in a slash is a 404.
    strict_slash: bool = _knob(default=False, check=_flag)
    #: The status for methods and bodies of dialects that are not spoken.
    refuse_dialect_with: int = _knob(405, _refusal)
    #: Requests that the rate limit lets in at once after a quiet time, 1 or more; None for one
    #: second's worth.
    burst: float | None = _knob(None, _burst)
    #: Say 429 with a page, as the vendor's gateway was seen to do.
    throttle_html: bool = _knob(default=False, check=_flag)
