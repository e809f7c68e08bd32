"""The commands that only read: lists and details of images and nodes, and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from aioe2e import E2EError, SavedImage

from .exits import CommandError, Exit, code_of
from .inputs import check_filters, filtered, ids_of
from .options import (
    DEFAULT_ACCOUNT,
    DEFAULT_OUTPUT,
    NO_FILTERS,
    AccountOptions,
    FilterOptions,
    Output,
    OutputOptions,
    seconds,
)
from .output import Column, Printer, Row, complain
from .parser import WHICH, argument, given, option
from .running import Waiting, wait_for_all
from .shell import Shell, open_session

if TYPE_CHECKING:
    from aioe2e import Session

__all__ = [
    "IMAGE_COLUMNS",
    "get_image",
    "get_node",
    "list_images",
    "list_nodes",
    "wait_for_images",
]

#: From so many locations on, a listing says where each image is.
_SEVERAL: Final = 2
#: Seconds to wait for images.
_WAIT: Final = 1800.0


def _moment(key: str) -> Callable[[Row], str]:
    """The text of a moment: in UTC, to the minute."""

    def text(row: Row) -> str:
        value = row.get(key)
        if not isinstance(value, str):
            return "-"
        return f"{datetime.fromisoformat(value).astimezone(UTC):%Y-%m-%d %H:%MZ}"

    return text


IMAGE_COLUMNS: Final = (
    Column("image_id", "ID"),
    Column("name", "NAME"),
    Column("state", "STATE"),
    Column("image_size", "SIZE"),
    Column("creation_time", "CREATED", _moment("creation_time")),
    Column("in_use", "IN USE"),
)

NODE_COLUMNS: Final = (
    Column("node_id", "ID"),
    Column("name", "NAME"),
    Column("state", "STATE"),
    Column("plan", "PLAN"),
    Column("public_ip", "PUBLIC IP"),
    Column("private_ip", "PRIVATE IP"),
)


def _by_date(image: SavedImage) -> float:
    """The newest first; one without a date comes last."""
    if image.creation_time is None:
        return 0.0
    return -image.creation_time.timestamp()


_SORTS: Final[dict[str, Callable[[SavedImage], Any]]] = {
    "created": _by_date,
    "name": lambda image: image.name.casefold(),
    "size": lambda image: -(image.size_gb or 0.0),
}


async def list_images(
    *,
    sort: Annotated[
        Literal["created", "name", "size"],
        option("--sort", text="By date (the newest first), by name, or by size (created)."),
    ] = "created",
    filters: FilterOptions = NO_FILTERS,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """List saved images.

    A listing shows one location of one project; `--location` may be given more than once.
    """
    check_filters(filters)
    async with open_session(account, shell.screen, several=True) as session:
        listings, errors = await _listings(session, account.location)
    found = [
        (place, image) for place, images in listings.items() for image in filtered(filters, images)
    ]
    found.sort(key=lambda shown: _SORTS[sort](shown[1]))
    if not (found or errors):
        _say_none(shell, output, _why_none(sum(map(len, listings.values()))))
    items = [image.to_dict() for _, image in found]
    columns: tuple[Column, ...] = IMAGE_COLUMNS
    if len(account.location) >= _SEVERAL:
        columns = (Column("location", "LOCATION"), *IMAGE_COLUMNS)
        items = [{**image.to_dict(), "location": place} for place, image in found]
    ids = [image.image_id for _, image in found]
    Printer.of(shell.screen, output).items("list", items, columns, ids=ids)
    for place, error in errors.items():
        complain(shell.screen, error, about=place)
    return max(map(code_of, errors.values()), default=Exit.OK)


def _why_none(number: int) -> str:
    if not number:
        return "no images here: --project-id and --location say of which project, and where"
    return f"none of {number:,} images fits the filters"


def _say_none(shell: Shell, output: Output, text: str) -> None:
    """Say to a person that a listing is empty; a script sees it."""
    if output.form == "table":
        shell.screen.note(text)


async def _listings(
    session: Session, locations: Sequence[str]
) -> tuple[dict[str, list[SavedImage]], dict[str, E2EError]]:
    """By location, the images, and the errors of locations that could not be listed.

    Raises:
        E2EError: The only location could not be listed.
    """
    if len(locations) < _SEVERAL:
        return {"": await session.images.list()}, {}
    views = {place: session.at(location=place) for place in dict.fromkeys(locations)}
    replies = await asyncio.gather(
        *(view.images.list() for view in views.values()), return_exceptions=True
    )
    found: dict[str, list[SavedImage]] = {}
    errors: dict[str, E2EError] = {}
    for place, reply in zip(views, replies, strict=True):
        if isinstance(reply, E2EError):
            errors[place] = reply
        elif isinstance(reply, BaseException):
            raise reply
        else:
            found[place] = reply
    return found, errors


async def get_image(
    image: Annotated[str, argument("IMAGE", "The id or the name of an image.")],
    /,
    *,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Show one saved image."""
    async with open_session(account, shell.screen) as session:
        found = await _one(session, image)
    Printer.of(shell.screen, output).item("get", found.to_dict(), id_=found.image_id)
    return Exit.OK


async def _one(session: Session, word: str) -> SavedImage:
    """The image with that id or name."""
    if word.isdecimal():
        return await session.images.get(word)
    return await session.images.by_name(word)


async def wait_for_images(
    *images: Annotated[str, argument("IMAGE", "Ids, or names.")],
    state: Annotated[
        Literal["ready", "gone"],
        option("--state", text="What to wait for: that they are ready, or gone (ready)."),
    ] = "ready",
    interval: Annotated[
        str,
        option(
            "--interval",
            check=seconds,
            metavar="TIME",
            text="The time between two looks; it grows up to 60s (5s).",
        ),
    ] = "5s",
    no_progress: Annotated[
        bool, option("--no-progress", text="Do not show a progress bar.")
    ] = False,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Wait until images are ready, or gone.

    Here --timeout is the time to wait (30m). All images share their listings, so that many cost no
    more requests than one.
    """
    if not images:
        raise CommandError("IMAGE is missing", next_step="`aioe2e images wait --help`")
    waiting = Waiting(
        timeout=_WAIT if account.timeout is None else seconds("--timeout", account.timeout),
        interval=seconds("--interval", interval),
    )
    async with open_session(account, shell.screen, call_timeout=False) as session:
        ids = await _ids_of_images(session, images)
        waits = {image: _wait(session, image, state, waiting) for image in ids}
        came = await wait_for_all(shell, waits, wanted=not no_progress)
    return _tell_waited(shell, output, {image: came[image] for image in ids})


def _tell_waited(
    shell: Shell, output: Output, found: Mapping[str, SavedImage | E2EError | None]
) -> Exit:
    """Print what came of waiting, by id: an image that is ready, None for one that is gone."""
    errors: list[E2EError] = []
    items: list[Row] = []
    columns: tuple[Column, ...] = IMAGE_COLUMNS[:1]
    for id_, image in found.items():
        if isinstance(image, E2EError):
            errors.append(image)
        elif image is None:
            items.append({"image_id": id_})
        else:
            items.append(image.to_dict())
            columns = IMAGE_COLUMNS
    ids = [item["image_id"] for item in items]
    Printer.of(shell.screen, output).items("wait", items, columns, ids=ids)
    for error in errors:
        complain(shell.screen, error)
    return max(map(code_of, errors), default=Exit.OK)


def _wait(
    session: Session, image: str, state: Literal["ready", "gone"], waiting: Waiting
) -> Awaitable[SavedImage | None]:
    timeout, interval = waiting.timeout, waiting.interval
    if state == "gone":
        return session.images.wait_gone(image, timeout=timeout, interval=interval)
    return session.images.wait(image, timeout=timeout, interval=interval)


async def _ids_of_images(session: Session, words: Sequence[str]) -> list[str]:
    """The ids of images by ids or names; where all are ids, no listing is needed."""
    words = list(dict.fromkeys(words))
    if all(map(str.isdecimal, words)):
        return words
    images = await session.images.list()
    return ids_of(words, [(image.image_id, image.name) for image in images], "image")


async def list_nodes(
    *,
    match: Annotated[
        tuple[str, ...],
        option(
            "--match",
            section=WHICH,
            metavar="GLOB",
            text="The whole name matches, as in a shell. If repeated, any may match.",
        ),
    ] = (),
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """List nodes."""
    async with open_session(account, shell.screen) as session:
        nodes = await session.nodes.list()
    if match:
        nodes = [node for node in nodes if any(fnmatchcase(node.name, glob) for glob in match)]
    found = sorted(nodes, key=lambda node: (node.name.casefold(), node.node_id))
    if not found:
        _say_none(shell, output, "no nodes")
    Printer.of(shell.screen, output).items(
        "list",
        [node.to_dict() for node in found],
        NODE_COLUMNS,
        ids=[node.node_id for node in found],
    )
    return Exit.OK


async def get_node(
    node: Annotated[str, argument("NODE", "The id or the name of a node.")],
    /,
    *,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Show one node."""
    async with open_session(account, shell.screen) as session:
        id_ = node
        if not node.isdecimal():
            known = await session.nodes.list()
            (id_,) = ids_of([node], [(one.node_id, one.name) for one in known], "node")
        found = await session.nodes.get(id_)
    Printer.of(shell.screen, output).item("get", found.to_dict(), id_=found.node_id)
    return Exit.OK
