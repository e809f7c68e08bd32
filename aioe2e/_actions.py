"""The image actions, a row each: what is sent, what a second time would do, and the words for
people.

A new action begins with a word in `aioe2e.models.Action` and a row here. The type checker then
names the few places where something has to be said in code: each of them matches on the action and
ends in `assert_never`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii
from typing import Final

import attrs

from .models import Action, image_id_of, node_id_of


class Repeat(enum.Enum):
    """How often a request may be carried out without harm."""

    READ = "read"  # changes nothing
    IDEMPOTENT = "idempotent"  # a second time changes nothing more
    ONCE = "once"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Row:
    """What is special about one action.

    Attributes:
        path: Below the base URL; the id comes into the braces.
        documented: The method of `Dialect.DOCUMENTED`.
        current: The method of `Dialect.CURRENT`.
        body: Makes the body of a name. With the method DELETE no body is sent.
        repeat: How often it may be carried out.
        named: Whether it takes a name.
        of_node: Whether its id is that of a node, not of an image.
        subject: The first words of an error, before the id.
        name_word: The word before the name, if it takes one.
        sentence: What it does, with the id and the name in the braces.
        items: What a bulk call takes.
        advice: What to do when nobody can say what became of it.
        advice_in_run: The same for a step of a run.
    """

    path: str
    documented: str
    current: str
    body: Callable[[str], bytes]
    repeat: Repeat
    named: bool
    subject: str
    sentence: str
    items: str
    advice: str
    advice_in_run: str
    name_word: str = ""
    of_node: bool = False

    def checked_id(self, value: object) -> str:
        """The id of what it is carried out on.

        Raises:
            UsageError: It cannot be sent.
        """
        return node_id_of(value) if self.of_node else image_id_of(value)


_AGAIN_IN_RUN: Final = "it may be sent again (Report.remaining does), or Images.reconcile looks"

#: From the vendor's save-image document; the current methods from its newer clients.
ROWS: Final[Mapping[str, Row]] = {
    Action.SAVE: Row(
        path="nodes/{}/actions/",
        documented="POST",
        current="PUT",
        body=lambda name: b'{"type": "save_images", "name": %s}' % _as_json(name),
        repeat=Repeat.ONCE,
        named=True,
        of_node=True,
        subject="save of node",
        name_word="as",
        sentence="save node {0} as {1}",
        items="nodes with their names, as a mapping or as pairs",
        advice="list the images before anything else: saving again may make a second image",
        advice_in_run="do not send it again: Images.reconcile looks whether there is an image",
    ),
    Action.RENAME: Row(
        path="images/{}/",
        documented="POST",
        current="PUT",
        body=lambda name: b'{"action_type": "rename", "name": %s}' % _as_json(name),
        repeat=Repeat.IDEMPOTENT,
        named=True,
        subject="rename of image",
        name_word="to",
        sentence="rename {0} to {1}",
        items="images with their names, as a mapping or as pairs",
        advice="list the images to see; sending the same rename again does no harm",
        advice_in_run=_AGAIN_IN_RUN,
    ),
    Action.DELETE: Row(
        path="images/{}/",
        documented="POST",
        current="DELETE",
        body=lambda _: b'{"action_type": "delete_image"}',
        repeat=Repeat.IDEMPOTENT,
        named=False,
        subject="delete of image",
        sentence="delete {0}",
        items="images",
        advice="list the images to see; sending the delete again does no harm",
        advice_in_run=_AGAIN_IN_RUN,
    ),
}


def _as_json(name: str) -> bytes:
    return encode_basestring_ascii(name).encode()
