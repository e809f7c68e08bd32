"""Names: what the server makes of the one asked for, and finding an image by its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from aioe2e._check import LONGEST_SHOWN, quoted
from aioe2e._text import escape, shorten
from aioe2e.errors import AmbiguousNameError
from aioe2e.models import SavedImage

#: Candidates and similar names that an error names.
_MOST_NAMED: Final = 5
#: Behind a name, the server may put the number of a disk, or the moment of the save in seconds
#: since the epoch.
_DISK = r"-disk-\d+"
_EPOCH = r"_(\d{10})"
#: Seconds between that moment and the creation time at the most.
_EPOCH_SLACK = 3600.0
#: Before a name, `os_distribution` may have the location.
_LOCATED = r"[A-Z]{2,6}-"


def fits(image: SavedImage, name: str) -> bool:
    """Whether an image may be what a save under that name made.

    The listed name is the one asked for, or that with ``-disk-0`` or ``_<epoch>`` behind it; or the
    name asked for stands in ``os_distribution``, alone or behind a location prefix.
    """
    listed, asked = image.name, image.os_distribution or ""
    if name in (listed, asked):
        return True
    if asked.endswith(name) and re.fullmatch(_LOCATED, asked[: -len(name)], re.ASCII):
        return True
    if asked or not listed.startswith(name):
        return False  # where the server says what was asked for, nothing else counts
    rest = listed[len(name) :]
    if re.fullmatch(_DISK, rest, re.ASCII):
        return True
    epoch = re.fullmatch(_EPOCH, rest, re.ASCII)
    if epoch is None or image.creation_time is None:
        return epoch is not None
    return abs(image.creation_time.timestamp() - int(epoch[1])) <= _EPOCH_SLACK


def named(images: Sequence[SavedImage], name: str) -> SavedImage | None:
    """The one image of that name; None where there is none.

    The exact name goes first. Otherwise an image counts whose name is that of a save with what the
    server puts behind it, or whose ``os_distribution`` is that name.

    Raises:
        AmbiguousNameError: There are several.
    """
    exact = [image for image in images if image.name == name]
    found = exact or [image for image in images if fits(image, name)]
    if not found:
        return None
    if len(found) > 1:
        raise AmbiguousNameError(
            f"{len(found)} images may be meant by the name {quoted(name)}: {several(found)}; "
            "say which by its id",
            image_ids=[image.image_id for image in found],
        )
    return found[0]


def several(images: Sequence[SavedImage]) -> str:
    """The first few of several candidates by id and name, and how many more there are."""
    told = [f"{_shown_id(image)} ({quoted(image.name)})" for image in images[:_MOST_NAMED]]
    more = len(images) - _MOST_NAMED
    if more > 0:
        return f"{', '.join(told)} and {more} more"
    return ", ".join(told)


def _shown_id(image: SavedImage) -> str:
    """The id of an image as an error may show it: an id in a listing may be any text."""
    return shorten(escape(image.image_id), LONGEST_SHOWN)


def similar(images: Sequence[SavedImage], name: str) -> str:
    """What to say of names that are like the one that no image has; empty where none is."""
    import difflib  # noqa: PLC0415  # only for what is mistyped

    names = {image.name for image in images}
    close = difflib.get_close_matches(name, names, _MOST_NAMED)
    if not close:
        return ""
    return f"; similar names: {', '.join(map(quoted, close))}"
