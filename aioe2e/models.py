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
    """A change of a saved image (`SAVE` makes one of a node)."""

    RENAME = "rename"
    DELETE = "delete"
    SAVE = "save"


class ImageState(enum.Enum):
    """Where an image is in its life. The server's own word stands in `SavedImage.image_state`.

    Known are the words of the vendor's clients, and those of OpenNebula, which seems to stand
    behind the API: ``USED``, ``CLONE`` and ``LOCKED_USED`` are ready images in use, ``INIT`` and
    ``LOCKED`` are being made.
    """

    READY = "READY"
    CREATING = "CREATING"
    ERROR = "ERROR"
    #: Taken out of use; it does not become ready by itself.
    DISABLED = "DISABLED"
    #: A delete was accepted and is not carried out yet: the name is still taken.
    DELETING = "DELETING"
    DELETED = "DELETED"
    #: A word that no known source uses.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, text: str) -> ImageState:
        """The state that a word of the server stands for, in any case."""
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


_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:([KMGT])I?B?)?\s*", re.IGNORECASE)
_LONGEST_SIZE = 40
_IN_GB = {"K": 1e-6, "M": 1e-3, "G": 1.0, "T": 1e3}


@lru_cache(maxsize=4096)
def _gigabytes(text: str) -> float | None:
    if len(text) > _LONGEST_SIZE or (match := _SIZE.fullmatch(text)) is None:
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
    """What can be told as JSON."""

    __slots__ = ()
    #: Properties that `to_dict` adds to the fields, from which they follow.
    _derived: ClassVar[tuple[str, ...]] = ()

    def to_dict(self) -> dict[str, Any]:
        """The value as ``json.dumps`` takes it, with what follows from its fields.

        Instants are ISO 8601 text with their zone, enums are their values.
        """
        names = (*_field_names(cast("Any", type(self))), *self._derived)
        return {name: as_json(getattr(self, name)) for name in names}


class _Stored(_Told):
    """What can be told as JSON, and made of it again."""

    __slots__ = ()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The value that `to_dict` told; it is equal to the original.

        What follows from other fields is not read, and what is left out has its default.

        Raises:
            UsageError: A field is missing, unknown, or of another type.
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

    Only `image_id` is certain to be there. A field that the server left out, sent as null or sent
    as ``""`` has its default. One that it sent in a form that cannot be read has its default too,
    and the raw value is in `extra`.
    """

    _derived = ("state", "in_use", "size_gb")

    #: The id that rename and delete take. Never the `template_id`, nor the id of the save action.
    image_id: str
    #: May differ from the name that the save asked for: the server appends ``-disk-0`` or
    #: ``_<digits>``.
    name: str = ""
    #: The server's word: ``"Ready"``, ``"available"``, ``"Creating"``, ``"Error"``, …
    image_state: str = ""
    #: Aware. The server writes Indian time without a zone; that is taken into account.
    creation_time: datetime | None = None
    #: The server's text, such as ``"57 GB"``.
    image_size: str | None = None
    #: On the wire this is the name that the save asked for, often behind a location prefix; not an
    #: OS.
    os_distribution: str | None = None
    #: The operating system, such as ``"CentOS-7.5"``.
    distro: str | None = None
    #: What creating a node from the image takes.
    template_id: int | None = None
    running_vms: int = 0
    #: One object for each running VM; the vendor does not document what is in it.
    vm_info: tuple[Any, ...] = attrs.field(default=(), hash=False)
    cloning_ops: int = 0
    scaler_group_count: int = 0
    image_type: str | None = None
    sku_type: str | None = None
    is_windows: bool | None = None
    project_name: str | None = None
    #: Unknown keys, and the raw value of every field that could not be read.
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)

    @property
    def state(self) -> ImageState:
        """`image_state` as one of the known states."""
        return ImageState.of(self.image_state)

    @property
    def size_gb(self) -> float | None:
        """The number in `image_size`, in GB.

        It is approximate, since the vendor's own unit is neither GB nor GiB.
        """
        return None if self.image_size is None else _gigabytes(self.image_size)

    @property
    def in_use(self) -> bool:
        """Whether VMs run from it, clones are under way, or autoscaling groups need it.

        Also true where its state says so, and where the server said something of these that cannot
        be read: an image is free only if that is known. The other way round there is no proof: the
        server may refuse to delete an image that is free by all that it shows.
        """
        counted = self.running_vms or self.cloning_ops or self.scaler_group_count or self.vm_info
        unread = not _USES.isdisjoint(self.extra)
        return bool(counted) or unread or _word(self.image_state) in _WORDS_OF_USE

    def __hash__(self) -> int:
        return hash(self.image_id)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class SaveAction(_Stored):
    """A save that the server accepted.

    The image is not finished yet: `Images.wait_saved` waits for it.
    """

    #: The id of the action, not of an image. None when the reply was lost and a listing proved the
    #: save.
    action_id: str | None = None
    #: The node that is being saved.
    node_id: str
    #: The name asked for.
    name: str
    #: The server's word: ``"done"`` and ``"In Progress"`` both mean accepted.
    status: str = ""
    created_at: datetime | None = None
    #: The image, where the server says it at once (most do not).
    image_id: str | None = None
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ActionResult(_Stored):
    """A rename or a delete that is done."""

    #: What the server said; empty when a listing proved it after a lost reply.
    message: str = ""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Reply(_Told):
    """What `Session.request` returns: the reply of any other route of the API."""

    #: The HTTP status, 200 to 299.
    status: int
    #: The ``data`` of the envelope; None for an empty reply.
    data: Any = attrs.field(default=None, hash=False)
    message: str = ""
    #: How many requests were sent for it.
    attempts: int = 1
    #: Headers of the reply by lower-case name, but for cookies.
    headers: Mapping[str, str] = attrs.field(factory=dict[str, str], hash=False)

    @property
    def request_id(self) -> str | None:
        """The id that the server gave the request, for its support; None if it gave none."""
        return self.headers.get("x-request-id")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class RateLimit(_Stored):
    """The account's request budget, as the latest reply that spoke of it told it.

    Each of the three numbers is None where the server did not say it.
    """

    #: Requests that the server allows in one of its windows (the vendor documents 5,000 an hour).
    limit: int | None = None
    #: Requests that are left in this window.
    remaining: int | None = None
    #: When the next window begins. Aware, by the local clock.
    reset_at: datetime | None = None
    #: When that reply was read. Aware, by the local clock.
    seen_at: datetime


class NodeState(enum.Enum):
    """Where a node is in its life. The server's own word stands in `Node.status`."""

    RUNNING = "RUNNING"
    CREATING = "CREATING"
    #: An image of it is being made.
    SAVING = "SAVING"
    POWERED_OFF = "POWERED_OFF"
    #: On its way from one state to another: powering on or off, stopping, being reinstalled.
    CHANGING = "CHANGING"
    FAILED = "FAILED"
    #: A word that no known source uses.
    UNKNOWN = "UNKNOWN"

    @classmethod
    def of(cls, text: str) -> NodeState:
        """The state that a word of the server stands for, in any case."""
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

    Only `node_id` is sure to be there. A list shows less of a node than `Nodes.get`: `location`,
    `created_at`, `vm_id`, `disk`, `memory` and `label` are None there. What could not be read
    stands in `extra` as it came.
    """

    _derived = ("state",)

    #: The id that a save takes. Never the `vm_id`.
    node_id: str
    name: str = ""
    #: The server's word: ``"Running"``, ``"Saving"``, ``"Powered off"``, …
    status: str = ""
    plan: str | None = None
    public_ip: str | None = None
    private_ip: str | None = None
    is_locked: bool | None = None
    location: str | None = None
    created_at: datetime | None = None
    #: The id of the virtual machine behind the node: another number than `node_id`.
    vm_id: str | None = None
    #: The server's text, such as ``"100 GB"``.
    disk: str | None = None
    #: The server's text, such as ``"8 GB"``.
    memory: str | None = None
    label: str | None = None
    #: Unknown keys, and the raw value of every field that could not be read.
    extra: Mapping[str, Any] = attrs.field(default=NO_EXTRA, hash=False, converter=_extra)

    @property
    def state(self) -> NodeState:
        """`status` as one of the known states."""
        return NodeState.of(self.status)

    def __hash__(self) -> int:
        return hash(self.node_id)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class WaitProgress(Value):
    """How far a wait has got: what its ``progress`` callback is told after each look."""

    #: The state that was seen; None where the look failed or showed nothing.
    state: ImageState | NodeState | None = None
    #: Seconds since the wait began.
    elapsed: float
    #: Seconds until the next look.
    next_look: float


#: What stands for an image where one is asked for.
ImageLike = SavedImage | str | int
#: What stands for a node where one is asked for.
NodeLike = Node | str | int


def image_id_of(value: object) -> str:
    """The id that stands for an image.

    Args:
        value: A `SavedImage`, an id of 1 to 128 letters, digits, ``-`` or ``_``, or a number above
            0.

    Raises:
        UsageError: It is none of these.
    """
    found = value.image_id if isinstance(value, SavedImage) else value
    return identifier(found, "image", "a SavedImage, a str or an int")


def node_id_of(value: object) -> str:
    """The id that stands for a node.

    Args:
        value: A `Node`, or an id of the same form as that of an image; no `SavedImage`.

    Raises:
        UsageError: It is none of these.
    """
    found = value.node_id if isinstance(value, Node) else value
    return identifier(found, "node", "a Node, a str or an int")
