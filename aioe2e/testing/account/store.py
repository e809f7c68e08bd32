"""The state of the account: what it contains, how it changes over time, and what is refused."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from .past import LONGEST_LAG, Before, Past
from .places import Place, places_of
from .records import Record, Records
from .rules import Rules
from .seed import new_image
from .wording import OPENNEBULA, VENDOR, Wording


class Refused(Exception):  # noqa: N818  # what the API does, not what went wrong
    """The API refuses.

    Args:
        status: The HTTP status of the answer.
        message: Its text.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@attrs.frozen
class Cause:
    """Why something changes."""

    #: The number of the request.
    call: int = -1
    #: Whether its connection had gone already.
    late: bool = attrs.field(default=False, kw_only=True)


#: Another user's change, made by the test itself.
ANYBODY = Cause()


@attrs.frozen(kw_only=True)
class Applied:
    """One change that was applied: an entry of `FakeE2E.ledger`."""

    #: ``"rename"``, ``"delete"`` or ``"save"``.
    action: str
    #: The id of the image, or of the node for a save.
    target: str
    #: The new name, or for a delete the name that the image had.
    name: str
    #: The id of the image that was changed or made.
    image_id: str
    #: The name before a rename; else None.
    previous: str | None = None
    #: When it was applied, by ``time.monotonic()``.
    time: float
    #: The `RecordedRequest.index` of the request that caused it; -1 if there was none.
    call: int = -1
    #: Whether it was applied after the connection of its request had been closed.
    late: bool = False


@attrs.define
class _Saving:
    """The saves of one node that are going on, and the status that it will have again."""

    saves: int = 0
    before: Any = "Running"


def _copied(node: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that an image takes over from the node that it is made of."""
    system: Any = node.get("os_info")
    name: Any = None
    if isinstance(system, Mapping):
        name = cast("Mapping[str, Any]", system).get("full_name")
    copied = {"distro": name, "sku_type": node.get("plan")}
    return {field: value for field, value in copied.items() if value}


#: Fields that may hold the name of an image; the vendor's own test doubles use the second.
_NAME_FIELDS = ("name", "image_name")


def _named(image: Mapping[str, Any]) -> list[str]:
    """The fields of an image that hold its name."""
    return [field for field in _NAME_FIELDS if field in image] or ["name"]


def _name(image: Mapping[str, Any]) -> str:
    return str(image.get(_named(image)[0], ""))


class Store:
    """The state of one account. Time passes when it is used: `advance` does what is due by then.

    Args:
        images: The images to begin with.
        nodes: The nodes to begin with.
        rules: The rules of the account.
        keep_ledger: How many of the latest changes to keep; None for all.
        clock: The time in seconds.
        wall: The time of day, in epoch seconds.
    """

    def __init__(
        self,
        images: Iterable[Mapping[str, Any]],
        nodes: Iterable[Mapping[str, Any]],
        rules: Rules,
        *,
        keep_ledger: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        #: The place of a request that names no project or no location.
        self.home: Place = places_of(rules.projects, rules.locations)[0]
        #: Held while anything is read or changed, since the server may run on another thread than
        #: the test.
        self.lock: threading.RLock = threading.RLock()
        #: Every image by id, including those that are not listed yet.
        self.images: Records = Records(images, "image_id", home=self.home)
        #: Every node by id.
        self.nodes: Records = Records(nodes, "id", home=self.home)
        #: The latest changes made, in order.
        self.ledger: list[Applied] = []
        #: How many changes there were, by action, including those that the ledger has dropped.
        self.changes: Counter[str] = Counter()
        self.rules = rules
        self._wording: Wording = OPENNEBULA if rules.opennebula else VENDOR
        self._keep_ledger = keep_ledger
        self._clock = clock
        self._wall = wall
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._actions = itertools.count(703)
        self._hidden: set[str] = set()
        self._deleting: set[str] = set()
        self._ids = itertools.count(
            max((int(i) for i in self.images if i.isdecimal()), default=24_439) + 1
        )
        self._names: Counter[tuple[Place, str]] = Counter()
        self._names_version = -1
        self._past = Past(rules.listing_lag + LONGEST_LAG)
        self._saving: dict[str, _Saving] = {}

    def advance(self) -> None:
        """Do everything that is due by now."""
        with self.lock:
            while self._due and self._due[0][0] <= self._clock():
                heapq.heappop(self._due)[2]()

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        if seconds <= 0:
            happen()
        else:
            heapq.heappush(self._due, (self._clock() + seconds, next(self._numbers), happen))

    # What the API reads

    def listing(self, lag: float = 0.0, *, place: Place | None = None) -> bytes:
        """The JSON array of the listed images of a place, as it is now or was `lag` seconds ago.

        A lagging listing shows changes by requests late, and changes by the test at once.

        Args:
            lag: Seconds.
            place: Where the images are; `home` by default.
        """
        self.advance()
        place = place or self.home
        if not lag:
            return self.images.wire(place, self._hidden)
        here = self.images.at(place)
        listed = {key: image for key, image in here if key not in self._hidden}
        then = self._past.seen_from(self._clock() - lag, place, listed)
        return b"[%b]" % b",".join(then)

    def image(self, image_id: str, place: Place | None = None) -> Record:
        """One image.

        Args:
            image_id: Its id.
            place: Where it must be; anywhere by default.

        Raises:
            Refused: There is none.
        """
        return self._found(self.images, image_id, place, self._wording.no_image)

    def node(self, node_id: str, place: Place | None = None) -> Record:
        """One node.

        Args:
            node_id: Its id.
            place: Where it must be; anywhere by default.

        Raises:
            Refused: There is none.
        """
        return self._found(self.nodes, node_id, place, "Node not found")

    def _found(self, records: Records, key: str, place: Place | None, missing: str) -> Record:
        self.advance()
        record = records.get(key)
        if record is None or place not in (None, record.place):
            raise Refused(404, missing)
        return record

    # What the API changes

    def rename(
        self, image_id: str, name: str, cause: Cause = ANYBODY, *, place: Place | None = None
    ) -> None:
        """Give an image another name. Its own name again is fine.

        Raises:
            Refused: There is no such image, it is being deleted, or another image has the name.
        """
        image = self.image(image_id, place)
        self._refuse_deleted(image_id)
        previous = _name(image)
        if name != previous:
            self._refuse_taken(image.place, name)
            self._remember(image_id, _named(image))
            with self._names_kept():
                self._count_names(image, -1)
                image.update(dict.fromkeys(_named(image), name))
                self._count_names(image, 1)
        self._note("rename", image_id, name, image_id, previous=previous, cause=cause)

    def delete(self, image_id: str, cause: Cause = ANYBODY, *, place: Place | None = None) -> None:
        """Delete an image for good, after `Rules.delete_seconds`.

        Raises:
            Refused: There is no such image, something uses it, or it is being deleted already.
        """
        image = self.image(image_id, place)
        self._refuse_deleted(image_id)
        if self.rules.refuse_in_use and (users := self._wording.in_use(image)) is not None:
            raise Refused(self.rules.conflict_status, users)
        name = _name(image)
        if self.rules.delete_seconds > 0:
            self._deleting.add(image_id)
            self._set_state(image_id, self._wording.deleted)
        self._later(self.rules.delete_seconds, lambda: self._remove(image_id))
        self._note("delete", image_id, name, image_id, cause=cause)

    def _remove(self, image_id: str) -> None:
        self._deleting.discard(image_id)
        self._hidden.discard(image_id)
        # The test may have removed it meanwhile.
        if (image := self.images.get(image_id)) is not None:
            self._remember(image_id)
            with self._names_kept():
                self._count_names(image, -1)
                del self.images[image_id]

    def save(
        self, node_id: str, name: str, cause: Cause = ANYBODY, *, place: Place | None = None
    ) -> tuple[int, str]:
        """Begin to make an image of a node: it is ``Creating``, then ``Ready``.

        Returns:
            The id of the action, and the id of the new image.

        Raises:
            Refused: There is no such node, it is being saved already, or the name is taken.
        """
        node = self.node(node_id, place)
        if self.rules.refuse_busy_node and node.get("status") == "Saving":
            raise Refused(
                self.rules.conflict_status,
                "Node is already in Saving state, please try again later",
            )
        listed = f"{name}-disk-0" if self.rules.disk_suffix else name
        self._refuse_taken(node.place, listed)
        image_id = str(next(self._ids))
        while image_id in self.images:
            image_id = str(next(self._ids))
        self._past.note(self._clock(), image_id, node.place, None)
        with self._names_kept():
            image = Record(self._born(image_id, name, listed, node), place=node.place)
            self.images[image_id] = image
            self._count_names(image, 1)
        self._begin_saving(node_id, node)
        if self.rules.visible_after > 0:
            self._hidden.add(image_id)
            self._later(self.rules.visible_after, lambda: self._show(image_id))
        self._later(self.rules.save_seconds, lambda: self._finish_save(image_id, node_id))
        self._note("save", node_id, name, image_id, cause=cause)
        return next(self._actions), image_id

    def _born(
        self, image_id: str, name: str, listed: str, node: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The wire object of a new image."""
        born = datetime.fromtimestamp(self._wall(), UTC)
        fields = {"name": listed, "image_state": self._wording.creating}
        if self.rules.disk_suffix:
            fields["os_distribution"] = name
        return new_image(image_id, name, born=born) | _copied(node) | fields

    def _show(self, image_id: str) -> None:
        self._hidden.discard(image_id)
        if (image := self.images.get(image_id)) is not None:
            self._past.note(self._clock(), image_id, image.place, None)
            self.images.touch()

    def _begin_saving(self, node_id: str, node: Record) -> None:
        saving = self._saving.setdefault(node_id, _Saving())
        saving.saves += 1
        if (status := node.get("status", "Running")) != "Saving":
            saving.before = status
            node["status"] = "Saving"

    def _end_saving(self, node_id: str) -> None:
        saving = self._saving[node_id]
        saving.saves -= 1
        if saving.saves:
            return
        del self._saving[node_id]
        # If the test has set another status meanwhile, that stays; it may also have removed the
        # node.
        if (node := self.nodes.get(node_id)) is not None and node.get("status") == "Saving":
            node["status"] = saving.before

    def _finish_save(self, image_id: str, node_id: str) -> None:
        self._end_saving(node_id)
        image = self.images.get(image_id)
        if image is not None and image.get("image_state") == self._wording.creating:
            self._set_state(image_id, self._wording.saved[self.rules.save_result])

    def _set_state(self, image_id: str, state: str) -> None:
        self._remember(image_id, ["image_state"])
        with self._names_kept():
            self.images[image_id]["image_state"] = state

    def _refuse_deleted(self, image_id: str) -> None:
        if image_id in self._deleting:
            raise Refused(
                self.rules.conflict_status,
                f"Action not allowed, the image is in state {self._wording.deleted}",
            )

    # Names, counted

    def _refuse_taken(self, place: Place, name: str) -> None:
        if not self.rules.unique_names or self._known_names()[place, name] <= 0:
            return
        others = (key for key, image in self.images.at(place) if _has_name(image, name))
        raise Refused(self.rules.conflict_status, self._wording.taken(next(others, "")))

    def _known_names(self) -> Counter[tuple[Place, str]]:
        """How many images of each place have each name; counted again if the test changed one."""
        if self._names_version != self.images.version:
            self._names = Counter()
            self._names_version = self.images.version
            for image in self.images.values():
                self._count_names(image, 1)
        return self._names

    def _count_names(self, image: Record, number: int) -> None:
        for field in _named(image):
            key = image.place, str(image.get(field, ""))
            self._names[key] += number
            if not self._names[key]:
                del self._names[key]

    @contextlib.contextmanager
    def _names_kept(self) -> Generator[None, None, None]:
        """Keep the count of names while images change: call `_count_names` for each name."""
        self._known_names()
        yield
        self._names_version = self.images.version

    def _remember(self, image_id: str, fields: Collection[str] = ()) -> None:
        """Remember how an image is listed before these fields change, or before it is removed."""
        image = self.images[image_id]
        before: Before = None
        if image_id not in self._hidden:
            before = tuple((field, image.get(field)) for field in fields) or image
        self._past.note(self._clock(), image_id, image.place, before)

    def _note(
        self,
        action: str,
        target: str,
        name: str,
        image_id: str,
        *,
        cause: Cause,
        previous: str | None = None,
    ) -> None:
        self.changes[action] += 1
        self.ledger.append(
            Applied(
                action=action,
                target=target,
                name=name,
                image_id=image_id,
                previous=previous,
                time=self._clock(),
                call=cause.call,
                late=cause.late,
            )
        )
        if self._keep_ledger is not None:
            del self.ledger[: max(0, len(self.ledger) - self._keep_ledger)]


def _has_name(image: Mapping[str, Any], name: str) -> bool:
    return any(str(image.get(field, "")) == name for field in _named(image))
