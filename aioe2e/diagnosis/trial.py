"""A trial with one image of its own, for what only a write can show.

It saves, renames and deletes one image under a name that nothing else has. It reports each step
before it makes it, stops as soon as anything is not as expected, and leaves nothing behind. An
image is its own if it did not exist before and has the trial's name: no other image is touched.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any, Final

from aioe2e._actions import ACTIONS
from aioe2e._call import Channel
from aioe2e._plain import as_json
from aioe2e._record import CallRecord
from aioe2e._wire import RawReply, is_object, parse
from aioe2e.config import Dialect
from aioe2e.errors import APIError, E2EError
from aioe2e.images import Images, Writes, fits
from aioe2e.models import Action, ImageState, NodeState, SavedImage
from aioe2e.nodes import Nodes

from .shapes import Vocabulary, kind, masked_sentence

#: Random bytes that make the name unique.
_DIGITS: Final = 4
_METHODS: Final = {
    Dialect.DOCUMENTED: "the documented method",
    Dialect.CURRENT: "the method of newer clients",
    Dialect.PUT: "PUT",
}
_DIALECT_OF: Final = {
    Action.SAVE: "Does POST work for a save?",
    Action.RENAME: "Does POST work for a rename?",
    Action.DELETE: "Does POST work for a delete?",
}


class _Stopped(Exception):  # noqa: N818  # not an error: how a step says that the trial is over
    """Something is not as expected."""


class Trial:
    """One trial.

    Args:
        channel: The session's.
        images: Of the view.
        nodes: Of the view.
        writes: Of the view.
        tell: Called before each step, with a text of what it will do.
        timeout: Seconds that each wait may take.
        interval: Seconds between two listings.

    Attributes:
        answers: By question, in the order in which they were found. Each step adds to them.
    """

    def __init__(
        self,
        channel: Channel,
        images: Images,
        nodes: Nodes,
        writes: Writes,
        *,
        tell: Callable[[str], object],
        timeout: float,
        interval: float,
    ) -> None:
        self._channel = channel
        self._images = images
        self._nodes = nodes
        self._writes = writes
        self._tell = tell
        self._timeout = timeout
        self._interval = interval
        self._name = f"aioe2e-trial-{secrets.token_hex(_DIGITS)}"
        #: Ids of the images that were there before. `_prepare` fills it.
        self._before: frozenset[str] = frozenset()
        #: Whether a save was sent, so that an image may appear. `_save` sets it.
        self._has_saved = False
        self.answers: dict[str, str] = {}

    async def run(self, node: str) -> None:
        """Carry the trial out, and clean up whatever happens.

        Args:
            node: The id of the node that is saved.
        """
        try:
            await self._prepare(node)
            image = await self._save(node)
            await self._rename(image)
            await self._delete(image)
        except _Stopped as stop:
            self.answers["Why did the trial stop?"] = str(stop)
        except E2EError as error:
            self.answers["Why did the trial stop?"] = _kind_of_failure(error)
        finally:
            if self._has_saved:
                await self._clean_up()

    async def _prepare(self, node: str) -> None:
        """Check that the trial can begin."""
        shown = await self._nodes.get(node)
        if shown.state not in (NodeState.RUNNING, NodeState.POWERED_OFF) or shown.is_locked:
            raise _Stopped("the node is neither running nor powered off, or it is locked")
        images = await self._images.list()
        if any(map(self._has_its_name, images)):
            raise _Stopped("an image with the trial's name exists already")
        self._before = frozenset(image.image_id for image in images)
        self.answers["In which state is the node when it is saved?"] = shown.state.value

    @property
    def _renamed(self) -> str:
        return f"{self._name}-renamed"

    async def _save(self, node: str) -> SavedImage:
        self._tell(f"saving an image of node {node} under the name {self._name}")
        record = CallRecord(replies=[])
        self._has_saved = True
        try:
            await self._writes.save(node, self._name, record)
        finally:
            self._has_saved = _may_have_saved(record)
        self._note_reply(Action.SAVE, record)
        busy = await self._nodes.get(node)
        self.answers["In which state is the node right after a save?"] = busy.state.value
        begun = self._channel.clock.now()
        listed: float | None = None
        states: list[str] = []
        while True:
            image = await self._own()
            now = self._channel.clock.now() - begun
            if image is not None:
                listed = now if listed is None else listed
                self._see(states, image)
                if image.state is ImageState.READY:
                    break
                if image.state is ImageState.ERROR:
                    raise _Stopped("the image turned ERROR")
            if now > self._timeout:
                raise _Stopped(f"the image was not ready within {self._timeout:g} s")
            await self._channel.rest(self._interval)
        self.answers["How long until a saved image is listed?"] = f"{listed:.1f} s"
        self.answers["How long until it is ready?"] = f"{now:.1f} s"
        self.answers["Which states does it go through?"] = ", ".join(states)
        self.answers["How is it named?"] = _naming(image, self._name)
        return image

    async def _rename(self, image: SavedImage) -> None:
        self._tell(f"renaming image {image.image_id} to {self._renamed}")
        record = CallRecord(replies=[])
        await self._writes.rename(image.image_id, self._renamed, record)
        self._note_reply(Action.RENAME, record)
        begun = self._channel.clock.now()
        while (shown := await self._shown(image.image_id)) is None or shown.name == image.name:
            await self._again(begun, "the new name was not listed")
        seconds = self._channel.clock.now() - begun
        self.answers["How long until a new name is listed?"] = f"{seconds:.1f} s"
        self.answers["How is the renamed image named?"] = _naming(shown, self._renamed)
        changed = "no"
        if shown.os_distribution != image.os_distribution:
            changed = "yes"
        self.answers["Does a rename change os_distribution?"] = changed

    async def _delete(self, image: SavedImage) -> None:
        self._tell(f"deleting image {image.image_id}")
        record = CallRecord(replies=[])
        await self._writes.delete(image.image_id, record, missing_ok=False)
        self._note_reply(Action.DELETE, record)
        begun = self._channel.clock.now()
        states: list[str] = []
        while (shown := await self._shown(image.image_id)) is not None:
            self._see(states, shown)
            await self._again(begun, "the deleted image is still listed")
        seconds = self._channel.clock.now() - begun
        self.answers["How long until a deleted image is gone?"] = f"{seconds:.1f} s"
        self.answers["Which states does it show until then?"] = ", ".join(states) or "none"
        self._tell(f"deleting image {image.image_id} once more, to see what is answered")
        question = "What is answered to the delete of an image that is gone?"
        try:
            await self._writes.delete(image.image_id, CallRecord(), missing_ok=False)
        except APIError as error:
            said = masked_sentence(error.message, (self._name, image.image_id))
            self.answers[question] = f"HTTP {error.status}: {said}"
        else:
            self.answers[question] = "success"

    async def _clean_up(self) -> None:
        """Delete the trial's image if it exists, and note whether anything may be left."""
        question = "Is anything left behind?"
        try:
            left = await self._own()
            if left is not None and left.state is not ImageState.DELETING:
                self._tell(f"deleting image {left.image_id}, which the trial made")
                await self._images.delete(left.image_id, missing_ok=True)
        except E2EError as error:
            self.answers[question] = (
                f"maybe: look for an image named {self._name} ({type(error).__name__})"
            )
            return
        was_deleted = "How long until a deleted image is gone?" in self.answers
        self.answers[question] = "no"
        if left is None and not was_deleted:
            advice = f"maybe: an image named {self._name} may still appear; delete it"
            self.answers[question] = advice

    async def _own(self) -> SavedImage | None:
        """The image that the trial made; None if it is not listed."""
        found = [image for image in await self._images.list() if self._is_own(image)]
        if len(found) > 1:
            raise _Stopped("more than one image has the trial's name")
        return found[0] if found else None

    def _is_own(self, image: SavedImage) -> bool:
        """Whether the trial made an image, and it is not deleted."""
        if image.image_id in self._before:
            return False
        return self._has_its_name(image) and image.state is not ImageState.DELETED

    def _has_its_name(self, image: SavedImage) -> bool:
        return fits(image, self._name) or fits(image, self._renamed)

    async def _shown(self, image_id: str) -> SavedImage | None:
        for image in await self._images.list():
            if image.image_id == image_id and image.state is not ImageState.DELETED:
                return image
        return None

    async def _again(self, begun: float, problem: str) -> None:
        """Wait until the next listing, or stop."""
        if self._channel.clock.now() - begun > self._timeout:
            raise _Stopped(f"{problem} within {self._timeout:g} s")
        await self._channel.rest(self._interval)

    def _see(self, states: list[str], image: SavedImage) -> None:
        word = Vocabulary([], ()).state(image.image_state)
        if word not in states:
            states.append(word)

    def _note_reply(self, action: Action, record: CallRecord) -> None:
        """Note the reply, and which method it answers."""
        replies: list[RawReply] = record.replies or []
        if not replies:
            raise _Stopped(f"no reply to the {action.value} was read")
        last = replies[-1]
        self.answers[f"What does a {action.value} answer?"] = _told(last, self._channel)
        settled = self._channel.settings.dialect
        if settled is not Dialect.AUTO:
            self.answers[_DIALECT_OF[action]] = f"not asked: the dialect is {settled.value}"
            return
        learned = self._channel.dialects.get(ACTIONS[action].path, Dialect.DOCUMENTED)
        if learned is Dialect.DOCUMENTED:
            self.answers[_DIALECT_OF[action]] = "yes"
        else:
            self.answers[_DIALECT_OF[action]] = f"no, but {_METHODS[learned]} does"


def _may_have_saved(record: CallRecord) -> bool:
    """Whether a save was sent and may have taken effect."""
    if not record.attempts:
        return False
    return record.done or record.open


def _kind_of_failure(error: E2EError) -> str:
    """The class of an error and its status, without its text, which may name things of a user."""
    name = type(error).__name__
    return f"{name}, HTTP {error.status}" if isinstance(error, APIError) else name


def _naming(image: SavedImage, asked: str) -> str:
    """How the server names the image, with a placeholder for the name that was asked for."""
    other = _around(image.os_distribution or "", asked)
    return f"name: {_around(image.name, asked)}; os_distribution: {other}"


def _around(text: str, asked: str) -> str:
    """What the server has put before and after a name."""
    before, found, after = text.partition(asked)
    if not text:
        return "nothing"
    if not found:
        return "something else"
    if re.fullmatch(r"(?:[A-Z]{2,6}-)?", before) is None:
        before = "…"
    if re.fullmatch(r"(?:-disk-\d+|_\d+)?", after) is None:
        after = "…"
    return f"{before}<name>{re.sub('[0-9]', '9', after)}"


def _told(reply: RawReply, channel: Channel) -> str:
    """The status of a reply, and the keys of its ``data``."""
    content = channel.redactor.scrub(parse(reply.body), reply.body)
    data: Any = content.get("data") if is_object(content) else None
    if not is_object(data):
        return f"HTTP {reply.status}, data is {kind(data)}"
    vocabulary = Vocabulary([], ())
    keys = [f"{vocabulary.key(key)} ({kind(value)})" for key, value in as_json(data).items()]
    return f"HTTP {reply.status}, data has {', '.join(sorted(keys))}"
