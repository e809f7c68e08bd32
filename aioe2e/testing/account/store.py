"""The emulated account: images, nodes, what happens to them over time, and what the API refuses. No
HTTP in here."""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from .past import LONGEST_LAG, Past
from .records import Record, Records
from .rules import Rules
from .seed import new_image


class Refused(Exception):  # noqa: N818  # what the API does, not what went wrong
    """The API says no.

    Attributes:
        status: The HTTP status of the answer.
        message: Its text.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = message


@attrs.frozen
class Cause:
    """Why something changes.

    Attributes:
        call: The number of the request.
        late: Its connection had gone already.
    """

    call: int = -1
    late: bool = attrs.field(default=False, kw_only=True)


#: Somebody else's change, made by the test itself.
ANYBODY = Cause()


@attrs.frozen(kw_only=True)
class Applied:
    """One change that was really made: a line of the ledger.

    Attributes:
        action: ``"rename"``, ``"delete"`` or ``"save"``.
        target: The id of the image (of the node for a save).
        name: The name given (the name that the image had, for a delete).
        image_id: The image that was changed, or made.
        previous: The name before a rename.
        time: When, by ``time.monotonic()``.
        call: The number of the request that caused it: ``fake.calls[call]``, unless calls are cut
            off.
        late: Whether it was applied after the connection of its request had gone.
    """

    action: str
    target: str
    name: str
    image_id: str
    previous: str | None = None
    time: float
    call: int = -1
    late: bool = False


def _count(value: Any) -> float:
    """A counter of the wire, which may be a number, text, or nothing."""
    try:
        return float(value or 0)
    except (TypeError, ValueError):
        return 0


@attrs.define
class _Saving:
    """The saves of one node that are going on, and the status that it had before and will have
    again."""

    saves: int = 0
    before: Any = "Running"


def _copied(node: Mapping[str, Any]) -> dict[str, Any]:
    """What an image takes from the node that it is made of, where the node says it."""
    system: Any = node.get("os_info")
    name: Any = (
        cast("Mapping[str, Any]", system).get("full_name") if isinstance(system, Mapping) else None
    )
    return {
        field: value for field, value in (("distro", name), ("sku_type", node.get("plan"))) if value
    }


class Store:
    """The state of one account. Time passes when it is looked at: `advance` does what has come due.

    Attributes:
        lock: Held while anything is read or changed, so that the thread of a test may look at what
            a server on another thread works with.
        images: Every image by id, also those that no listing shows yet.
        nodes: Every node by id.
        ledger: Every change made, in order.
    """

    def __init__(
        self,
        images: Iterable[Mapping[str, Any]],
        nodes: Iterable[Mapping[str, Any]],
        rules: Rules,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self.images = Records(images, "image_id")
        self.nodes = Records(nodes, "id")
        self.ledger: list[Applied] = []
        self.rules = rules
        self._clock = clock
        self._wall = wall
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._actions = itertools.count(703)
        self._hidden: set[str] = set()
        self._ids = itertools.count(
            max((int(i) for i in self.images if i.isdecimal()), default=24_439) + 1
        )
        self._names: Counter[str] = Counter()
        self._names_version = -1
        self._past = Past(rules.listing_lag + LONGEST_LAG)
        self._saving: dict[str, _Saving] = {}

    def advance(self) -> None:
        """Let everything happen that has come due."""
        with self.lock:
            while self._due and self._due[0][0] <= self._clock():
                heapq.heappop(self._due)[2]()

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        if seconds <= 0:
            happen()
        else:
            heapq.heappush(self._due, (self._clock() + seconds, next(self._numbers), happen))

    # What the API reads

    def listing(self, lag: float = 0.0) -> bytes:
        """The array of all listed images as JSON, as it is now or was `lag` seconds ago.

        A lagging listing shows what the API itself changed late, and what a test changed by its own
        hand at once.
        """
        self.advance()
        if not lag:
            return self.images.wire(self._hidden)
        listed = {key: image.wire for key, image in self.images.items() if key not in self._hidden}
        return b"[%b]" % b",".join(self._past.seen_from(self._clock() - lag, listed))

    def image(self, image_id: str) -> Record:
        """One image.

        Raises:
            Refused: There is none.
        """
        self.advance()
        if (image := self.images.get(image_id)) is None:
            raise Refused(404, "Image not found")
        return image

    def node(self, node_id: str) -> Record:
        """One node.

        Raises:
            Refused: There is none.
        """
        self.advance()
        if (node := self.nodes.get(node_id)) is None:
            raise Refused(404, "Node not found")
        return node

    # What the API changes

    def rename(self, image_id: str, name: str, cause: Cause = ANYBODY) -> None:
        """Give an image another name. Its own name again is fine.

        Raises:
            Refused: No such image, or the name belongs to another one.
        """
        image = self.image(image_id)
        previous = str(image.get("name", ""))
        if name != previous:
            self._refuse_taken(name)
            self._remember(image_id)
            names = self._known_names()
            image["name"] = name
            names[previous] -= 1
            names[name] += 1
            self._names_version = self.images.version
        self._note("rename", image_id, name, image_id, previous=previous, cause=cause)

    def delete(self, image_id: str, cause: Cause = ANYBODY) -> None:
        """Take an image away for good.

        Raises:
            Refused: No such image, or something uses it.
        """
        image = self.image(image_id)
        users = ("running_vms", "cloning_ops", "scaler_group_count")
        if self.rules.refuse_in_use and any(_count(image.get(field)) for field in users):
            raise Refused(
                self.rules.conflict_status, "Image is in use by running nodes and cannot be deleted"
            )
        self._remember(image_id)
        names = self._known_names()
        name = str(image.get("name", ""))
        names[name] -= 1
        del self.images[image_id]
        self._names_version = self.images.version
        self._hidden.discard(image_id)
        self._note("delete", image_id, name, image_id, cause=cause)

    def save(self, node_id: str, name: str, cause: Cause = ANYBODY) -> tuple[int, str]:
        """Begin to make an image of a node: it is ``Creating``, then ``Ready``.

        Returns:
            The id of the action, and the id of the new image.

        Raises:
            Refused: No such node, the node is being saved already, or the name is taken.
        """
        node = self.node(node_id)
        if self.rules.refuse_busy_node and node.get("status") == "Saving":
            raise Refused(
                self.rules.conflict_status,
                "Node is already in Saving state, please try again later",
            )
        listed = f"{name}-disk-0" if self.rules.disk_suffix else name
        self._refuse_taken(listed)
        image_id = str(next(self._ids))
        while image_id in self.images:
            image_id = str(next(self._ids))
        born = datetime.fromtimestamp(self._wall(), UTC)
        system = name if self.rules.disk_suffix else f"DEL-{name}"
        fields = {"name": listed, "image_state": "Creating", "os_distribution": system}
        names = self._known_names()
        self._past.note(self._clock(), image_id, None)
        self.images[image_id] = new_image(image_id, name, born=born) | _copied(node) | fields
        names[listed] += 1
        self._names_version = self.images.version
        self._begin_saving(node_id, node)
        if self.rules.visible_after > 0:
            self._hidden.add(image_id)
            self._later(self.rules.visible_after, lambda: self._show(image_id))
        self._later(self.rules.save_seconds, lambda: self._finish_save(image_id, node_id))
        self._note("save", node_id, name, image_id, cause=cause)
        return next(self._actions), image_id

    def _show(self, image_id: str) -> None:
        self._hidden.discard(image_id)
        if image_id in self.images:
            self._past.note(self._clock(), image_id, None)
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
        # A status that a test has set meanwhile stays, and so does a node that a test has taken
        # away.
        if (node := self.nodes.get(node_id)) is not None and node.get("status") == "Saving":
            node["status"] = saving.before

    def _finish_save(self, image_id: str, node_id: str) -> None:
        self._end_saving(node_id)
        if (image := self.images.get(image_id)) is not None and image.get(
            "image_state"
        ) == "Creating":
            version = self.images.version
            self._remember(image_id)
            image["image_state"] = self.rules.save_result
            if self._names_version == version:
                self._names_version = self.images.version

    def _refuse_taken(self, name: str) -> None:
        if self.rules.unique_names and self._known_names()[name] > 0:
            raise Refused(self.rules.conflict_status, "Image with this name already exists")

    def _known_names(self) -> Counter[str]:
        """How many images have each name; counted anew only after somebody else changed the
        images."""
        if self._names_version != self.images.version:
            self._names = Counter(str(image.get("name", "")) for image in self.images.values())
            self._names_version = self.images.version
        return self._names

    def _remember(self, image_id: str) -> None:
        wire = None if image_id in self._hidden else self.images[image_id].wire
        self._past.note(self._clock(), image_id, wire)

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
