"""Finding an image by the name that a person knows it by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aioe2e._check import quoted
from aioe2e.errors import AmbiguousNameError
from aioe2e.models import SavedImage

from .saves import fits

#: Candidates and similar names that an error names.
_MOST_NAMED: Final = 5


def named(images: Sequence[SavedImage], name: str) -> SavedImage | None:
    """The one image of that name; None where there is none.

    The exact name goes first. Otherwise an image counts whose name is that of a save with what the
    server puts behind it, or whose ``os_distribution`` is that name.

    Raises:
        AmbiguousNameError: There are several.
    """
    found = [image for image in images if image.name == name]
    found = found or [image for image in images if fits(image, name)]
    if len(found) < 2:
        return found[0] if found else None
    candidates = [f"{image.image_id} ({quoted(image.name)})" for image in found]
    told = ", ".join(candidates[:_MOST_NAMED])
    more = len(found) - _MOST_NAMED
    raise AmbiguousNameError(
        f"{len(found)} images may be meant by the name {quoted(name)}: {told}"
        f"{f' and {more} more' if more > 0 else ''}; say which by its id",
        image_ids=[image.image_id for image in found],
    )


def similar(images: Sequence[SavedImage], name: str) -> str:
    """What to say of names that are like the one that no image has; empty where none is."""
    import difflib  # noqa: PLC0415  # only for what is mistyped

    names = {image.name for image in images}
    close = difflib.get_close_matches(name, names, _MOST_NAMED)
    return f"; similar names: {', '.join(map(quoted, close))}" if close else ""
