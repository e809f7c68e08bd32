"""The commands that change images: save, rename, delete, and going on with a journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Annotated, Final

from aioe2e import Action, Plan, SavedImage

from .exits import CommandError, Exit
from .inputs import (
    SAVE_FIELDS,
    Given,
    Template,
    filtered,
    meant_nodes,
    named,
    names_of_nodes,
    now_fields,
    one_of,
    read_source,
    seconds,
)
from .journals import Origin
from .options import (
    DEFAULT_ACCOUNT,
    DEFAULT_OUTPUT,
    DEFAULT_RUN,
    DEFAULT_WAIT,
    NO_FILTERS,
    AccountOptions,
    FilterOptions,
    Filters,
    OutputOptions,
    RunOptions,
    WaitOptions,
)
from .parser import WHICH, argument, given, option
from .reading import printer
from .running import Job, counted, waiting_of
from .shell import Shell, open_session

__all__ = ["delete", "rename", "save"]

#: What may stand in braces in a new name of an image.
_RENAME_FIELDS: Final = ("name", "id", "distro", "created", "date", "time")
#: Images that an error names.
_SHOWN: Final = 10
_SOURCE: Final = "A file, or - for stdin: ids (with names, where names are needed), or a plan."


async def delete(
    *images: Annotated[str, argument("IMAGE", "Ids, or whole names.")],
    source: Annotated[
        str | None,
        option("--from", section=WHICH, metavar="FILE", hyphen=True, text=_SOURCE),
    ] = None,
    missing_ok: Annotated[
        bool, option("--missing-ok", text="An image that is not there counts as unchanged.")
    ] = False,
    in_use_too: Annotated[
        bool, option("--in-use-too", text="Delete images in use, too, if the server lets you.")
    ] = False,
    filters: FilterOptions = NO_FILTERS,
    run: RunOptions = DEFAULT_RUN,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Delete saved images: by id or name, from a file, or by what they are.

    The plan is shown before anything is deleted, and you are asked. Where images that are in use
    are selected, nothing is deleted, unless --in-use-too is given.
    """
    way = one_of({"IMAGE": bool(images), "--from": source is not None, "filters": filters.any})
    file = read_source(source, Action.DELETE, shell.stdin) if source is not None else Given()
    async with open_session(account, shell.screen) as session:
        listing = await session.images.list()
        plan = file.plan or _deletions(
            _meant(way, images, file.ids, filters, listing), listing, in_use_too=in_use_too
        )
        job = Job(
            shell=shell,
            session=session,
            run=run,
            printer=printer(shell, output),
            origin=Origin(
                command="delete", missing_ok=missing_ok, account=Origin.account_of(account)
            ),
            known={image.image_id: image for image in listing},
        )
        return await job.carry_out(plan)


def _meant(
    way: str,
    words: Sequence[str],
    ids: Sequence[str],
    filters: Filters,
    listing: Sequence[SavedImage],
) -> list[SavedImage | str]:
    """The images that a command means."""
    if way == "filters":
        return [*filtered(filters, listing)]
    return named(words if way == "IMAGE" else ids, listing)


def _deletions(
    images: Iterable[SavedImage | str], listing: Sequence[SavedImage], *, in_use_too: bool
) -> Plan:
    """A plan.

    Raises:
        CommandError: Images are in use, and that is not to be.
    """
    found = list(images)
    used = [image for image in found if isinstance(image, SavedImage) and image.in_use]
    if used and not in_use_too:
        shown = [f"{image.image_id}  {image.name}" for image in used[:_SHOWN]]
        more = [f"and {len(used) - _SHOWN} more"] if len(used) > _SHOWN else []
        raise CommandError(
            f"{len(used)} of {counted(len(found), 'image')} in use, so nothing is deleted",
            details=shown + more,
            next_step="--not-in-use leaves them out; --in-use-too deletes them, too",
        )
    return Plan.delete(found, existing=listing, force=in_use_too)


async def rename(
    image: Annotated[str | None, argument("IMAGE", "The id or the name of an image.")] = None,
    name: Annotated[str | None, argument("NAME", "Its new name.")] = None,
    /,
    *,
    source: Annotated[
        str | None,
        option("--from", section=WHICH, metavar="FILE", hyphen=True, text=_SOURCE),
    ] = None,
    to: Annotated[
        str | None,
        option(
            "--to",
            metavar="TEMPLATE",
            text="The new name, such as 'archive-{name}'; also {id}, {distro}, {created}, {date}, "
            "{time}.",
        ),
    ] = None,
    filters: FilterOptions = NO_FILTERS,
    run: RunOptions = DEFAULT_RUN,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Rename saved images: one, those of a file, or all that the filters select.

    Chains and swaps of names are ordered so that no rename meets a name that is in use. More than
    one rename is asked about.
    """
    way = one_of({"IMAGE": image is not None, "--from": source is not None, "filters": filters.any})
    if (way == "IMAGE") != (name is not None):
        raise CommandError("NAME is missing" if way == "IMAGE" else "NAME goes with IMAGE alone")
    if way == "filters" and to is None:
        raise CommandError(
            "--to is missing: say what the new names are", next_step="--to 'old-{name}'"
        )
    template = None if to is None else Template("--to", to, _RENAME_FIELDS)
    file = read_source(source, Action.RENAME, shell.stdin) if source is not None else Given()
    async with open_session(account, shell.screen) as session:
        listing = await session.images.list()
        words = [image] if image is not None else []
        if file.plan is not None:
            plan = file.plan
        elif template is not None:
            plan = _by_template(template, _meant(way, words, file.ids, filters, listing), listing)
        else:
            pairs = [(str(image), str(name))] if way == "IMAGE" else file.pairs()
            found = named([word for word, _ in pairs], listing)
            new = [text for _, text in pairs]
            plan = Plan.rename(list(zip(found, new, strict=True)), existing=listing)
        job = Job(
            shell=shell,
            session=session,
            run=run,
            printer=printer(shell, output),
            origin=Origin(command="rename", account=Origin.account_of(account)),
            known={image.image_id: image for image in listing},
            asks=len(plan) > 1,
        )
        return await job.carry_out(plan)


def _by_template(
    template: Template, images: Iterable[SavedImage | str], listing: Sequence[SavedImage]
) -> Plan:
    now = now_fields()

    def new_name(image: SavedImage) -> str:
        made = image.creation_time
        return template(
            {
                **now,
                "name": image.name,
                "id": image.image_id,
                "distro": image.distro or "unknown",
                "created": f"{made.astimezone(UTC):%Y%m%d}" if made else "unknown",
            }
        )

    return Plan.rename(images, to=new_name, existing=listing)


async def save(
    node: Annotated[str | None, argument("NODE", "The id or the name of a node.")] = None,
    name: Annotated[str | None, argument("NAME", "The name of the image.")] = None,
    /,
    *,
    source: Annotated[
        str | None,
        option("--from", section=WHICH, metavar="FILE", hyphen=True, text=_SOURCE),
    ] = None,
    every: Annotated[bool, option("--all", section=WHICH, text="All nodes.")] = False,
    template: Annotated[
        str | None,
        option(
            "--name",
            metavar="TEMPLATE",
            text="The names of the images, such as 'nightly-{node}-{date}'; also {id}, {time}.",
        ),
    ] = None,
    wait: Annotated[bool, option("--wait", text="Wait until the images are ready.")] = False,
    waiting: WaitOptions = DEFAULT_WAIT,
    run: RunOptions = DEFAULT_RUN,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Save images of nodes: of one, of those of a file, or of all.

    A save that may have been carried out is never sent again. Without --wait the command ends when
    the server has accepted the saves; the images get ready later. More than one save is asked
    about. Dates are those of UTC.
    """
    way = one_of({"NODE": node is not None, "--from": source is not None, "--all": every})
    if (way == "NODE") != (name is not None):
        raise CommandError("NAME is missing" if way == "NODE" else "NAME goes with NODE alone")
    if way == "--all" and template is None:
        raise CommandError("--name is missing", next_step="--name 'nightly-{node}-{date}'")
    pattern = None if template is None else Template("--name", template, SAVE_FIELDS)
    file = read_source(source, Action.SAVE, shell.stdin) if source is not None else Given()
    words = [node] if node is not None else list(file.ids)
    async with open_session(account, shell.screen) as session:
        nodes = await meant_nodes(session, words, every=every, names=pattern is not None)
        if file.plan is not None:
            plan = file.plan
        elif pattern is not None:
            plan = Plan.save(names_of_nodes(pattern, nodes))
        else:
            names = [str(name)] if way == "NODE" else [text for _, text in file.pairs()]
            plan = Plan.save([(id_, text) for (id_, _), text in zip(nodes, names, strict=True)])
        job = Job(
            shell=shell,
            session=session,
            run=run,
            printer=printer(shell, output),
            origin=Origin(
                command="save",
                wait=wait,
                wait_timeout=seconds("--wait-timeout", waiting.wait_timeout),
                account=Origin.account_of(account),
            ),
            waiting=waiting_of(waiting) if wait else None,
            nodes=dict(nodes),
            asks=len(plan) > 1,
        )
        return await job.carry_out(plan)
