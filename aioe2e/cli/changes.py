"""The commands that change images: save, rename, delete, and going on with a journal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC
from typing import Annotated, Final

import attrs

from aioe2e import Action, Plan, SavedImage

from .exits import CommandError, Exit
from .inputs import (
    SAVE_FIELDS,
    Given,
    Template,
    check_filters,
    filtered,
    meant_nodes,
    named,
    names_of_nodes,
    now_fields,
    one_of,
    read_source,
    several,
    typed,
)
from .journals import Journal, Origin, find_journal, origin_of
from .options import (
    DEFAULT_CHANGE,
    DEFAULT_WAIT,
    NO_FILTERS,
    ChangeOptions,
    FilterOptions,
    Filters,
    WaitOptions,
    seconds,
)
from .parser import WHICH, argument, given, option
from .rotation import Rotation, carry_out
from .running import Job, counted, opened_job, waiting_of
from .shell import Shell

__all__ = ["delete", "rename", "resume", "save"]

#: What may stand in braces in a new name of an image.
_RENAME_FIELDS: Final = ("name", "id", "distro", "created", "date", "time")
#: Images that an error names.
_SHOWN: Final = 10
_Source = Annotated[
    str | None,
    option(
        "--from",
        section=WHICH,
        metavar="FILE",
        hyphen=True,
        text="A file, or - for stdin: ids (with names, where names are needed), or a plan.",
    ),
]


async def delete(
    *images: Annotated[str, argument("IMAGE", "Ids, or whole names.")],
    source: _Source = None,
    missing_ok: Annotated[
        bool, option("--missing-ok", text="Count an image that does not exist as unchanged.")
    ] = False,
    in_use_too: Annotated[
        bool, option("--in-use-too", text="Also delete images in use, if the server allows it.")
    ] = False,
    verify: Annotated[
        bool,
        option(
            "--verify",
            text="Afterwards, check the listing until it shows none of the images, for a limited "
            "time. One that it still shows then is UNKNOWN.",
        ),
    ] = False,
    filters: FilterOptions = NO_FILTERS,
    change: ChangeOptions = DEFAULT_CHANGE,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Delete saved images: by id or name, from a file, or by filters.

    Shows the plan and asks before anything is deleted. If an image in use is selected, nothing is
    deleted unless --in-use-too is given. (--force answers the question, and does not imply it.)
    """
    one_of({"IMAGE": bool(images), "--from": source is not None, "filters": filters.any})
    check_filters(filters)
    given_ = read_source(source, Action.DELETE, shell.stdin)
    origin = Origin(command="delete", missing_ok=missing_ok, verify=verify)
    async with opened_job(shell, change, origin) as job:
        listing = await job.session.images.list()
        plan = given_.plan
        if plan is None:
            doomed = _chosen(given_, filters, listing) or named(images, listing)
            plan = _deletions(doomed, listing, in_use_too=in_use_too)
        return await job.knowing(listing).carry_out(plan, nothing=given_.nothing)


def _chosen(
    given_: Given, filters: Filters, listing: Sequence[SavedImage]
) -> list[SavedImage | str]:
    """The images that the filters select, if any is given, else those of a file.

    Raises:
        CommandError: There is no such image, or more than one.
    """
    if filters.any:
        return [*filtered(filters, listing)]
    return named(given_.words, listing, given_.places)


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
        if len(used) > _SHOWN:
            shown.append(f"and {len(used) - _SHOWN} more")
        raise CommandError(
            f"{len(used)} of {counted(len(found), 'image')} in use, so nothing is deleted",
            details=shown,
            next_step="--not-in-use leaves them out; --in-use-too deletes them, too",
        )
    return Plan.delete(found, existing=listing, force=in_use_too)


async def rename(
    image: Annotated[str | None, argument("IMAGE", "The id or the name of an image.")] = None,
    name: Annotated[str | None, argument("NAME", "Its new name.")] = None,
    /,
    *,
    source: _Source = None,
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
    change: ChangeOptions = DEFAULT_CHANGE,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Rename saved images: one, those in a file, or all that the filters select.

    Orders chains and swaps so that no rename collides with an existing name. Asks for confirmation
    if there is more than one rename.
    """
    one_of({"IMAGE": image is not None, "--from": source is not None, "filters": filters.any})
    check_filters(filters)
    template = _new_names(image, name, to, filters)
    given_ = read_source(source, Action.RENAME, shell.stdin)
    if image is not None:
        given_ = typed(image, name)
    async with opened_job(shell, change, Origin(command="rename")) as job:
        listing = await job.session.images.list()
        plan = given_.plan
        if plan is None:
            plan = _renames(template, given_, filters, listing)
        return await job.knowing(listing).carry_out(
            plan, asks=len(plan) > 1, nothing=given_.nothing
        )


def _new_names(
    image: str | None, name: str | None, to: str | None, filters: Filters
) -> Template | None:
    """The template of the new names; None where they are given one by one.

    Raises:
        CommandError: New names are missing, or given in two ways.
    """
    if to is not None:
        if name is not None:
            raise CommandError("NAME and --to exclude each other")
        return Template("--to", to, _RENAME_FIELDS)
    _check_pair("IMAGE", image, "NAME", name)
    if filters.any:
        raise CommandError(
            "--to is missing: say what the new names are", next_step="--to 'old-{name}'"
        )
    return None


def _renames(
    template: Template | None, given_: Given, filters: Filters, listing: Sequence[SavedImage]
) -> Plan:
    if template is None:
        new = given_.new_names()
        images = named(given_.words, listing, given_.places)
        return Plan.rename(list(zip(images, new, strict=True)), existing=listing)
    return _by_template(template, _chosen(given_, filters, listing), listing)


def _check_pair(first: str, one: object, second: str, other: object) -> None:
    """Check that two arguments are both given, or neither."""
    if one is not None and other is None:
        raise CommandError(f"{second} is missing")
    if one is None and other is not None:
        raise CommandError(f"{second} goes with {first} alone")


def _by_template(
    template: Template, images: Iterable[SavedImage | str], listing: Sequence[SavedImage]
) -> Plan:
    """A plan of renames.

    Raises:
        CommandError: Several images get the same name.
    """
    now = now_fields()

    def new_name(image: SavedImage) -> str:
        created = "unknown"
        if image.creation_time is not None:
            created = f"{image.creation_time.astimezone(UTC):%Y%m%d}"
        distro = image.distro or "unknown"
        own = {"name": image.name, "id": image.image_id, "distro": distro, "created": created}
        return template({**now, **own})

    found = list(images)
    known = {image.image_id: image for image in found if isinstance(image, SavedImage)}
    numbers = Counter(map(new_name, known.values()))
    shared = [
        f"{number:,} images get the name {name!r}" for name, number in numbers.items() if number > 1
    ]
    if shared:
        raise several(
            shared,
            f"--to: {template.text!r} gives {len(shared)} names more than once",
            about="--to: ",
            next_step="put {name} or {id} in it",
        )
    return Plan.rename(found, to=new_name, existing=listing)


async def save(
    node: Annotated[str | None, argument("NODE", "The id or the name of a node.")] = None,
    name: Annotated[str | None, argument("NAME", "The name of the image.")] = None,
    /,
    *,
    source: _Source = None,
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
    change: ChangeOptions = DEFAULT_CHANGE,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Save images of nodes: of one node, of those in a file, or of all nodes.

    A save that may have been carried out is never sent again. Without --wait, the command ends when
    the server has accepted the saves; the images become ready later. Asks for confirmation if there
    is more than one save. Dates are in UTC.
    """
    one_of({"NODE": node is not None, "--from": source is not None, "--all": every})
    pattern = _image_names(node, name, template, every=every)
    given_ = read_source(source, Action.SAVE, shell.stdin)
    if node is not None:
        given_ = typed(node, name)
    origin = Origin(
        command="save",
        wait=wait,
        wait_timeout=seconds("--wait-timeout", waiting.wait_timeout),
    )
    how = waiting_of(waiting, wanted=wait)
    async with opened_job(shell, change, origin, waiting=how) as job:
        nodes = await meant_nodes(
            job.session,
            given_.words,
            every=every,
            names=pattern is not None,
            places=given_.places,
        )
        plan = given_.plan
        if plan is None:
            plan = _saves(pattern, given_, nodes)
        return await attrs.evolve(job, nodes=dict(nodes)).carry_out(
            plan, asks=len(plan) > 1, nothing=given_.nothing
        )


def _image_names(
    node: str | None, name: str | None, template: str | None, *, every: bool
) -> Template | None:
    """The template of the images' names; None where they are given one by one.

    Raises:
        CommandError: Names are missing, or given in two ways.
    """
    if template is not None:
        if name is not None:
            raise CommandError("NAME and --name exclude each other")
        return Template("--name", template, SAVE_FIELDS)
    _check_pair("NODE", node, "NAME", name)
    if every:
        raise CommandError("--name is missing", next_step="--name 'nightly-{node}-{date}'")
    return None


def _saves(template: Template | None, given_: Given, nodes: Sequence[tuple[str, str]]) -> Plan:
    if template is None:
        new = given_.new_names()
        return Plan.save([(id_, text) for (id_, _), text in zip(nodes, new, strict=True)])
    template.check_differs(len(nodes), ("node", "id"))
    return Plan.save(names_of_nodes(template, nodes))


async def resume(
    name: Annotated[
        str | None, argument("JOURNAL", "The file that the command named when it ended.")
    ] = None,
    /,
    *,
    wait: Annotated[
        bool, option("--wait", text="Wait for saved images, whatever the command said then.")
    ] = False,
    waiting: WaitOptions = DEFAULT_WAIT,
    change: ChangeOptions = DEFAULT_CHANGE,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Resume a command that was interrupted or partly failed.

    Checks the listing for unknown outcomes. Runs the steps that were never sent and those that
    failed with a transient error. Waits for saved images if the first command did. Uses the account
    of the first command.
    """
    journal = find_journal(name, shell.environ)
    origin = origin_of(journal.path)
    left = Plan.resume(journal.path)
    how = waiting_of(waiting, wanted=wait or origin.wait)
    then = attrs.evolve(change, account=origin.merged(change.account))
    async with opened_job(shell, then, origin, waiting=how) as opened:
        job = attrs.evolve(
            opened.knowing(await opened.session.images.list()),
            nodes=(origin.rotation or {}).get("names", {}),
        )
        return await _go_on(job, left, journal)


async def _go_on(job: Job, left: Plan, journal: Journal) -> Exit:
    """Preview, ask, run what is left, and do what the command does after that."""
    if job.run.dry_run:
        job.preview(left)
        return Exit.OK
    job.warn(left)
    asks = len(left) > 1 or (len(left) == 1 and left.action is Action.DELETE)
    if asks and not job.run.yes:
        job.show(left)
        job.ask(job.question(left))
    if job.origin.rotation is not None:
        rotation = Rotation.from_dict(job.origin.rotation)
        agreed_on = job.origin.rotation["surplus"]
        return await carry_out(job, rotation, left, agreed_on, journal=journal)
    return job.finish(await job.execute(left, earlier=journal))
