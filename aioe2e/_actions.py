"""The image actions, a row each: what is sent, what a second time would do, and the words for it.

A new action begins with a word in `aioe2e.models.Action` and a row here. Where something has to be
said about it in code, that code matches on the action or on a column, and ends in `assert_never`:
the type checker then names the place.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Final

import attrs

from .models import Action, image_id_of, node_id_of


class Repeatability(enum.Enum):
    """How often a request may be carried out without harm."""

    READ = "read"  # changes nothing
    IDEMPOTENT = "idempotent"  # a second time changes nothing more
    ONCE = "once"


class ProvenBy(enum.Enum):
    """What in a listing proves that an action was carried out."""

    NAME = "name"  # the image has the new name
    ABSENCE = "absence"  # the image is not there
    NEW_IMAGE = "new image"  # there is an image that nothing else can have made


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ActionSpec:
    """What is special about one action."""

    #: Below the base URL; the id comes into the braces.
    path: str
    #: The method of `Dialect.DOCUMENTED`.
    documented: str
    #: The method of `Dialect.CURRENT`.
    current: str
    #: Makes the body of a name. With the method DELETE no body is sent.
    body: Callable[[str], bytes]
    #: How often it may be carried out.
    repeat: Repeatability
    #: How a listing proves it.
    proven_by: ProvenBy
    #: Whether it takes a name.
    named: bool
    #: The first words of an error, before the id.
    subject: str
    #: What it does, with the id and the name in the braces.
    sentence: str
    #: What a bulk call takes.
    items: str
    #: What to do when it is not known whether it was carried out.
    advice: str
    #: The same for a step of a run.
    advice_in_run: str
    #: Whether its id is that of a node, not of an image.
    of_node: bool = False
    #: The key in ``data`` under which the reply names the target, where it does.
    target_key: str = ""
    #: Whether its image gives up the name that it had for the new one.
    renames: bool = False
    #: Whether its image is gone afterwards, so that one in use is protected from it.
    destroys: bool = False
    #: The word before the name in an error, if it takes one.
    name_word: str = ""

    def checked_id(self, value: object) -> str:
        """The id of what it is carried out on.

        Raises:
            UsageError: It cannot be sent.
        """
        return node_id_of(value) if self.of_node else image_id_of(value)


_AGAIN_IN_RUN: Final = "it may be sent again (Report.remaining does), or Images.reconcile looks"

#: From the vendor's save-image document; the current methods from its newer clients.
ACTIONS: Final[Mapping[str, ActionSpec]] = {
    Action.SAVE: ActionSpec(
        path="nodes/{}/actions/",
        documented="POST",
        current="PUT",
        body=lambda name: b'{"type": "save_images", "name": %s}' % _as_json(name),
        repeat=Repeatability.ONCE,
        proven_by=ProvenBy.NEW_IMAGE,
        named=True,
        of_node=True,
        target_key="resource_id",
        subject="save of node",
        name_word="as",
        sentence="save node {0} as {1}",
        items="nodes with their names, as a mapping or as pairs",
        advice="list the images before anything else: saving again may make a second image",
        advice_in_run="do not send it again: Images.reconcile looks whether there is an image",
    ),
    Action.RENAME: ActionSpec(
        path="images/{}/",
        documented="POST",
        current="PUT",
        body=lambda name: b'{"action_type": "rename", "name": %s}' % _as_json(name),
        repeat=Repeatability.IDEMPOTENT,
        proven_by=ProvenBy.NAME,
        named=True,
        renames=True,
        subject="rename of image",
        name_word="to",
        sentence="rename {0} to {1}",
        items="images with their names, as a mapping or as pairs",
        advice="list the images to see; sending the same rename again does no harm",
        advice_in_run=_AGAIN_IN_RUN,
    ),
    Action.DELETE: ActionSpec(
        path="images/{}/",
        documented="POST",
        current="DELETE",
        body=lambda _: b'{"action_type": "delete_image"}',
        repeat=Repeatability.IDEMPOTENT,
        proven_by=ProvenBy.ABSENCE,
        named=False,
        destroys=True,
        subject="delete of image",
        sentence="delete {0}",
        items="images",
        advice="list the images to see; sending the delete again does no harm",
        advice_in_run=_AGAIN_IN_RUN,
    ),
}


def _as_json(name: str) -> bytes:
    return encode_basestring_ascii(name).encode()
