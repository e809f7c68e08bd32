"""The states and the refusals that an account speaks of: the vendor's, or those of OpenNebula.

OpenNebula's are inferred: its counters and names show through the vendor's API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

#: The fields that count what uses an image.
_USERS = ("running_vms", "cloning_ops", "scaler_group_count")


def _count(value: Any) -> int:
    """A counter of the wire, which may be a number, text, or nothing."""
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
    """How an account speaks."""

    #: The state of an image that is being saved.
    creating: str
    #: The state in which a save ends, by `Rules.save_result`.
    saved: Mapping[str, str]
    #: The state of an image that is being deleted.
    deleted: str
    #: Why there is no such image.
    no_image: str
    #: Why an image cannot be deleted; None where nothing uses it.
    in_use: Callable[[Mapping[str, Any]], str | None]
    #: Why a name cannot be given, by the id of the image that has it.
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
    """The state in which OpenNebula would show an image that is well."""
    if _count(image.get("cloning_ops")):
        return "CLONE"
    return "USED" if _count(image.get("running_vms")) else "READY"
