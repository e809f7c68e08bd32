"""What the server says, as frozen values.

To add a field: one line in the class. Its type picks the reader (`aioe2e._wire.codec`), its name is
the vendor's. Sources of the fields: the vendor's save-image document, and the replies that the
vendor's own clients handle.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Hashable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, ClassVar, Self, cast

import attrs

from ._check import identifier
from ._plain import READERS, Reader, Value, as_json, checked_fields, filled_text

__all__ = [
    "Action",
    "ActionResult",
    "Extra",
    "ImageLike",
    "ImageState",
    "Node",
    "NodeLike",
    "NodeState",
    "RateLimit",
    "Reply",
    "SaveAction",
    "SavedImage",
    "WaitProgress",
    "image_id_of",
    "node_id_of",
]


class Action(enum.StrEnum):
    """A change that a `Step` makes."""

    #: Give an image another name.
    RENAME = "rename"
    #: Delete an image.
    DELETE = "delete"
    #: Save a new image of a node.
    SAVE = "save"


class ImageState(enum.Enum):
    """The lifecycle state of an image, as the library reads it.

    The server's own value is in `SavedImage.image_state`. The library knows the values that the
    vendor's clients use, and those of OpenNebula, on which the API appears to be built. ``USED``,
    ``CLONE`` and ``LOCKED_USED`` mean a ready image that is in use; ``INIT`` and ``LOCKED`` mean an
    image that is being made.
    """

    #: The image can be used.
    READY = "READY"
    #: The image is being made.
    CREATING = "CREATING"
    #: Making the image has failed.
    ERROR = "ERROR"
    #: The image was taken out of use. It does not become ready by itself.
    DISABLED = "DISABLED"
    #: A delete was accepted and has not been carried out yet. The name is still taken.
    DELETING = "DELETING"
    #: The image is deleted, and the server still lists it.
    DELETED = "DELETED"
    #: A value that no known source uses.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, text: str) -> ImageState:
        """Return the state that a value of the server means. Upper and lower case are the same."""
        return _STATES.get(_word(text), cls.UNKNOWN)


#: OpenNebula's words for an image that something uses.
_WORDS_OF_USE = frozenset({"USED", "USED_PERS", "CLONE", "LOCKED_USED", "LOCKED_USED_PERS"})
_STATES = {
    **{state.value: state for state in ImageState},
    **dict.fromkeys(_WORDS_OF_USE, ImageState.READY),
    "AVAILABLE": ImageState.READY,
    "INIT": ImageState.CREATING,
    "LOCKED": ImageState.CREATING,
    "DELETE": ImageState.DELETING,
}


def _word(text: str) -> str:
    """A word of the server for a state, in the one form that is compared."""
    return text.strip().upper()


_SIZE = r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])I?B?)?\s*"
_LONGEST_SIZE = 40
_IN_GB = {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


@lru_cache(maxsize=4096)
def _gigabytes(text: str) -> float | None:
    if len(text) > _LONGEST_SIZE:
        return None
    match = re.fullmatch(_SIZE, text, re.IGNORECASE)
    if match is None:
        return None
    return float(match[1]) * _IN_GB[(match[2] or "G").upper()]


class Extra(Mapping[str, Any]):
    """A read-only mapping of what the server sent beyond the fields of a model.

    It compares as a dict and pickles.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return repr(self._items)

    def __reduce__(self) -> tuple[Any, ...]:
        return Extra, (self._items,)


#: Shared by all models without extra keys: a listing has thousands of them.
NO_EXTRA = Extra()


def _extra(items: Mapping[str, Any]) -> Extra:
    return items if isinstance(items, Extra) else Extra(items)


class _Told(Value):
    """A value that can be converted to JSON."""

    __slots__ = ()
    #: Properties that `to_dict` adds to the fields, from which they follow.
    _derived: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the value as ``json.dumps`` takes it, with its derived attributes.

        Dates are ISO 8601 text with their time zone; enums are their values.
        """
        names = (*_field_names(cast("Any", type(self))), *self._derived)
        return {name: as_json(getattr(self, name)) for name in names}


class _Stored(_Told):
    """A value that can be converted to JSON and back."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild a value from the result of `to_dict`. It is equal to the original.

        Derived attributes are ignored. A field that is missing gets its default, if it has one.

        Args:
            data: The result of `to_dict`.

        Raises:
            UsageError: A field that has no default is missing, a field is unknown, or one has the
                wrong type.
        """
        readers, required = _reading(cast("Any", cls))
        what = f"a stored {cls.__name__}"
        return cls(**checked_fields(what, data, readers, required=required, ignored=cls._derived))


@lru_cache(maxsize=64)
def _field_names(model: Hashable) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(cast("type[Any]", model)))


@lru_cache(maxsize=64)
def _reading(model: Hashable) -> tuple[Mapping[str, Reader], tuple[str, ...]]:
    """How the fields of a model are read, and which must be there."""
    fields = attrs.fields(attrs.resolve_types(cast("type[Any]", model)))
    required = tuple(field.name for field in fields if field.default is attrs.NOTHING)
    readers = {field.name: READERS[field.type] for field in fields}
    for name in required:
        if readers[name] is READERS[str]:
            readers[name] = filled_text
    return readers, required


#: Fields that tell of a use; one that could not be read stands in `SavedImage.extra`.
_USES = frozenset({"running_vms", "cloning_ops", "scaler_group_count", "vm_info"})


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SavedImage(_Stored):
    """One saved image, as a listing shows it.

    Only `image_id` is always set. A field that the server left out or sent as null or ``""`` has
    its default. A field that could not be read also has its default; its raw value is in `extra`.
    """

    _derived = ("state", "in_use", "size_gb")

    #: The id that rename and delete take. It is neither the `template_id` nor the id of the save
    #: action.
    image_id: str
    #: The name. It may differ from the one that was asked for when the image was saved: the server
    #: may append ``-disk-0`` or ``_<digits>``.
    name: str = ""
    #: The server's own value, such as ``"Ready"``, ``"available"``, ``"Creating"`` or ``"Error"``.
    image_state: str = ""
    #: When the image was made, with a time zone. The server sends Indian time without a zone; the
    #: library adds it.
    creation_time: datetime | None = None
    #: The size in the server's own text, such as ``"57 GB"``.
    image_size: str | None = None
    #: The name that the save asked for, often after a location prefix. Despite its name it is not
    #: an operating system.
    os_distribution: str | None = None
    #: The operating system, such as ``"CentOS-7.5"``.
    distro: str | None = None
    #: The id that is needed to create a node from the image.
    template_id: int | None = None
    #: The number of running VMs that were made from the image.
    running_vms: int = 0
    #: One object for each running VM. The vendor does not document its content.
    vm_info: tuple[Any, ...] = attrs.field(default=(), hash=False)
    #: The number of clones of the image that are being made.
    cloning_ops: int = 0
    #: The number of autoscaling groups that use the image.
    scaler_group_count: int = 0
    #: The server's own text for the type of the image.
    image_type: str | None = None
    #: The server's own text for the type of node (SKU).
    sku_type: str | None = None
    #: Whether the operating system is Windows.
    is_windows: bool | None = None
    #: The name of the project that the image belongs to.
    project_name: str | None = None
    #: Unknown keys, and the raw value of every field that could not be read.
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)

    @property
    def state(self) -> ImageState:
        """The state that `image_state` means."""
        return ImageState.of(self.image_state)

    @property
    def size_gb(self) -> float | None:
        """The number in `image_size`, in GB.

        It is approximate, since the vendor's own unit is neither GB nor GiB.
        """
        return None if self.image_size is None else _gigabytes(self.image_size)

    @property
    def in_use(self) -> bool:
        """Whether VMs, clones that are being made, or autoscaling groups use the image.

        It is also true if the image's state means a use, or if a value about its use could not be
        read. An image counts as in use unless the server clearly reports otherwise. Even so, the
        server may refuse to delete an image that looks unused.
        """
        uses = (self.running_vms, self.cloning_ops, self.scaler_group_count, self.vm_info)
        if any(uses):
            return True
        if not _USES.isdisjoint(self.extra):  # one that could not be read
            return True
        return _word(self.image_state) in _WORDS_OF_USE

    def __hash__(self) -> int:
        return hash(self.image_id)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SaveAction(_Stored):
    """A save that the server has accepted.

    The image is not finished yet. `Images.wait_saved` waits for it.
    """

    #: The id of the action, which is not the id of an image. None if the reply was lost and the
    #: listing confirmed the save.
    action_id: str | None = None
    #: The id of the node that is being saved.
    node_id: str
    #: The name that was asked for.
    name: str
    #: The server's own value. ``"done"`` and ``"In Progress"`` both mean accepted.
    status: str = ""
    #: When the server accepted the save, with a time zone; None if it did not report that.
    created_at: datetime | None = None
    #: The id of the image, if the server reports it at once. Most servers do not.
    image_id: str | None = None
    #: Unknown keys, and the raw value of every field that could not be read.
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ActionResult(_Stored):
    """The result of a rename or a delete that was carried out."""

    #: The server's message. It is empty if the reply was lost and the listing confirmed the change.
    message: str = ""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Reply(_Told):
    """The result of `Session.request`."""

    #: The HTTP status, 200 to 299.
    status: int
    #: The ``data`` of the envelope; None for an empty reply.
    data: Any = attrs.field(default=None, hash=False)
    #: The ``message`` of the envelope; empty if there was none.
    message: str = ""
    #: The number of requests that were sent for the call.
    attempts: int = 1
    #: The headers of the reply by lower-case name, without cookies.
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)

    @property
    def request_id(self) -> str | None:
        """The id that the server gave the request, for its support; None if it gave none."""
        return self.headers.get("x-request-id")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RateLimit(_Stored):
    """The account's request budget, as reported by the latest reply with rate-limit headers.

    Each of the three values is None if the server did not report it.
    """

    #: The number of requests that the server allows in one window. The vendor documents 5,000 an
    #: hour.
    limit: int | None = None
    #: The number of requests that are left in this window.
    remaining: int | None = None
    #: When the next window begins, with a time zone, by the local clock.
    reset_at: datetime | None = None
    #: When that reply was read, with a time zone, by the local clock.
    seen_at: datetime


class NodeState(enum.Enum):
    """The lifecycle state of a node. The server's own value is in `Node.status`."""

    #: The node is running.
    RUNNING = "RUNNING"
    #: The node is being made.
    CREATING = "CREATING"
    #: An image of the node is being made.
    SAVING = "SAVING"
    #: The node is powered off.
    POWERED_OFF = "POWERED_OFF"
    #: The node is between two states: powering on or off, stopping, or being reinstalled.
    CHANGING = "CHANGING"
    #: The node has failed.
    FAILED = "FAILED"
    #: A value that no known source uses.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, text: str) -> NodeState:
        """Return the state that a value of the server means. Upper and lower case are the same."""
        word = _word(text).replace(" ", "_")
        if word.startswith("POWERING"):
            return cls.CHANGING
        return _NODE_STATES.get(word, cls.UNKNOWN)


_NODE_STATES = {
    **{state.value: state for state in NodeState},
    "STOPPING": NodeState.CHANGING,
    "REINSTALLING": NodeState.CHANGING,
    "ERROR": NodeState.FAILED,
}


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Node(_Stored):
    """One node (a virtual machine), as the API shows it.

    Only `node_id` is always set. A listing shows less of a node than `Nodes.get`: there `location`,
    `created_at`, `vm_id`, `disk`, `memory` and `label` are None. A value that could not be read is
    in `extra`.
    """

    _derived = ("state",)

    #: The id that a save takes. It is not the `vm_id`.
    node_id: str
    #: The name.
    name: str = ""
    #: The server's own value, such as ``"Running"``, ``"Saving"`` or ``"Powered off"``.
    status: str = ""
    #: The server's own name of the node's plan (its size).
    plan: str | None = None
    #: The public IP address.
    public_ip: str | None = None
    #: The private IP address.
    private_ip: str | None = None
    #: Whether the server reports the node as locked.
    is_locked: bool | None = None
    #: The location, such as ``"Delhi"``.
    location: str | None = None
    #: When the node was made, with a time zone.
    created_at: datetime | None = None
    #: The id of the virtual machine behind the node. It differs from `node_id`.
    vm_id: str | None = None
    #: The size of the disk in the server's own text, such as ``"100 GB"``.
    disk: str | None = None
    #: The size of the memory in the server's own text, such as ``"8 GB"``.
    memory: str | None = None
    #: The node's label.
    label: str | None = None
    #: Unknown keys, and the raw value of every field that could not be read.
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)

    @property
    def state(self) -> NodeState:
        """The state that `status` means."""
        return NodeState.of(self.status)

    def __hash__(self) -> int:
        return hash(self.node_id)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitProgress(Value):
    """The argument of a wait's ``progress`` callback, which is called after each poll."""

    #: The state that was seen; None if the poll failed or did not show the image or node.
    state: ImageState | NodeState | None = None
    #: Seconds since the wait began.
    elapsed: float
    #: Seconds until the next poll.
    next_look: float


#: What stands for an image where one is asked for.
ImageLike = SavedImage | str | int
#: What stands for a node where one is asked for.
NodeLike = Node | str | int


def image_id_of(value: object) -> str:
    """Return the id of an image.

    Args:
        value: A `SavedImage`; an id of 1 to 128 letters, digits, ``-`` or ``_``; or a number above
            0.

    Raises:
        UsageError: It is none of these.
    """
    found = value.image_id if isinstance(value, SavedImage) else value
    return identifier(found, "image", "a SavedImage, a str or an int")


def node_id_of(value: object) -> str:
    """Return the id of a node.

    Args:
        value: A `Node`, or an id of the same form as that of an image. A `SavedImage` is refused.

    Raises:
        UsageError: It is none of these.
    """
    found = value.node_id if isinstance(value, Node) else value
    return identifier(found, "node", "a Node, a str or an int")
