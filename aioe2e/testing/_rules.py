"""What the emulated API refuses, and how it behaves where little is known about the live one."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypedDict

import attrs


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
    strict_slash: bool
    refuse_dialect_with: int
    burst: float | None
    throttle_html: bool


@attrs.frozen(kw_only=True)
class Rules:
    """The knobs of the emulated API. Each is also a keyword of `FakeE2E`."""

    #: Refuse a name that another image has, for rename and for save.
    unique_names: bool = True
    #: Refuse to delete an image that VMs, clones or scaler groups use.
    refuse_in_use: bool = True
    #: Refuse to save a node that is being saved.
    refuse_busy_node: bool = True
    #: The HTTP status of these three refusals; 412 is the API's usual one.
    conflict_status: int = 412
    #: Seconds for which a saved image is ``Creating`` and its node ``Saving``.
    save_seconds: float = 0.2
    #: The state in which a save ends: ``"Ready"`` or ``"Error"``.
    save_result: str = "Ready"
    #: Seconds until a saved image shows up in the listing.
    visible_after: float = 0.0
    #: List a saved image as ``<name>-disk-0``, with the plain name as its ``os_distribution``.
    disk_suffix: bool = False
    #: Name the new image in the reply to a save.
    image_id_in_save: bool = False
    #: The listing shows the state of so many seconds ago.
    listing_lag: float = 0.0
    #: The token may list, and change nothing.
    read_only: bool = False
    #: Parameters without which a request is a 400, such as ``("project_id", "location")``.
    required_query: Collection[str] = ()
    #: A path that does not end in a slash is a 404.
    strict_slash: bool = False
    #: The status for methods and bodies of dialects that are not spoken.
    refuse_dialect_with: int = 405
    #: Requests that the rate limit lets in at once after a quiet time; None for one second's worth.
    burst: float | None = None
    #: Say 429 with a page, as the vendor's gateway was seen to do.
    throttle_html: bool = False
