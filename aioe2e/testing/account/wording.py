"""The states and the refusals of an account, in the words of the vendor or of OpenNebula.

Those of OpenNebula are inferred from its counters and names, which the vendor's API shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

#: The fields that count the users of an image.
_USERS = ("running_vms", "cloning_ops", "scaler_group_count")


def _count(value: Any) -> int:
    """A counter as it was sent: a number, text, or nothing."""
    try:
        return int(float(value or 0))
    except (TypeError, ValueError, OverflowError):
        return 0


def _in_use(image: Mapping[str, Any]) -> str | None:
    if any(_count(image.get(field)) for field in _USERS):
        return "Image is in use by running nodes and cannot be deleted"
    return None


def _in_use_by(image: Mapping[str, Any]) -> str | None:
    if clones := _count(image.get("cloning_ops")):
        return f"There are {clones} active clone operations."
    if users := _count(image.get("running_vms")) + _count(image.get("scaler_group_count")):
        return f"There are {users} VMs using it."
    return None


@attrs.frozen(kw_only=True)
class Wording:
    """The words of an account."""

    #: The state of an image that is being saved.
    creating: str
    #: The state in which a save ends, by `Rules.save_result`.
    saved: Mapping[str, str]
    #: The state of an image that is being deleted.
    deleted: str
    #: The refusal if there is no such image.
    no_image: str
    #: The refusal if an image is in use, by the image; None if nothing uses it.
    in_use: Callable[[Mapping[str, Any]], str | None]
    #: The refusal if a name is taken, by the id of the image that has it.
    taken: Callable[[str], str]


VENDOR = Wording(
    creating="Creating",
    saved={"Ready": "Ready", "Error": "Error"},
    deleted="Deleted",
    no_image="Image not found",
    in_use=_in_use,
    taken=lambda _: "Image with this name already exists",
)
OPENNEBULA = Wording(
    creating="LOCKED",
    saved={"Ready": "READY", "Error": "ERROR"},
    deleted="DELETE",
    no_image="Image does not exist",
    in_use=_in_use_by,
    taken=lambda image_id: f"NAME is already taken by IMAGE {image_id}.",
)


def opennebula_state(image: Mapping[str, Any]) -> str:
    """The state that OpenNebula would show for an image without errors."""
    if _count(image.get("cloning_ops")):
        return "CLONE"
    return "USED" if _count(image.get("running_vms")) else "READY"
