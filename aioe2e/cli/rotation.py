"""``images rotate``: save nodes, wait for the images, then delete what is too many."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import attrs

from aioe2e import ImageState, Plan, SavedImage, select

from .exits import CommandError, Exit
from .inputs import (
    SAVE_FIELDS,
    Group,
    Template,
    check_filters,
    filtered,
    group_of,
    meant_nodes,
    names_of_nodes,
    one_of,
)
from .journals import Journal, Origin
from .options import (
    DEFAULT_CHANGE,
    DEFAULT_WAIT,
    NO_FILTERS,
    ChangeOptions,
    FilterOptions,
    Filters,
    WaitOptions,
)
from .parser import WHICH, argument, given, option
from .running import Job, Result, Waiting, counted, opened_job, wait_for_all, waiting_of
from .shell import Shell

__all__ = ["Rotation", "carry_out", "rotate"]

#: What the words of a template look like in the name of an image.
_PATTERNS: Final = {"date": r"\d{8}", "time": r"\d{6}"}
#: What the server is known to append to the names of images.
_SUFFIX: Final = re.compile(r"(?:-disk-\d+)?(?:_\d+)?\Z")
#: The id of an image that is still to be saved, in the preview.
_PENDING: Final = "pending-"


@attrs.frozen(kw_only=True)
class Rotation:
    """What one rotation saves and keeps.

    Attributes:
        template: The names of its images, before the words in braces are filled in.
        names: By id, the names of its nodes.
        wanted: By id of a node, the name of the image that is saved now.
        filters: Which images may be deleted; with ``keep`` and ``per``.
    """

    template: str
    names: Mapping[str, str]
    wanted: Mapping[str, str]
    filters: Filters

    def to_dict(self) -> dict[str, Any]:
        """What a journal has to remember of it."""
        return {
            "template": self.template,
            "names": dict(self.names),
            "wanted": dict(self.wanted),
            "filters": attrs.asdict(self.filters),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Rotation:
        """The rotation that `to_dict` wrote."""
        filters = dict(data["filters"])
        for key in ("match", "state"):
            filters[key] = tuple(filters[key])
        return cls(
            template=data["template"],
            names=data["names"],
            wanted=data["wanted"],
            filters=Filters(**filters),
        )

    @property
    def _pattern(self) -> re.Pattern[str]:
        """What matches the names of its images, of any night."""
        names = "|".join(re.escape(self.name_of(id_)) for id_ in self.names)
        ids = "|".join(map(re.escape, self.names))
        groups = {**_PATTERNS, "node": f"(?:{names})", "id": f"(?:{ids})"}
        return Template("--name", self.template, SAVE_FIELDS).pattern(groups)

    def name_of(self, node: str) -> str:
        """The name of a node, by its id; the id where it has none."""
        return self.names[node] or node

    def node_of(self, image: SavedImage) -> str | None:
        """The id of the node that an image was saved of by this rotation; None for all others."""
        match = self._pattern.fullmatch(image.name)
        if match is None:
            return None
        words = match.groupdict()
        if "id" in words:
            return words["id"]
        same = list(self.names)
        if "node" in words:
            same = [id_ for id_ in self.names if self.name_of(id_) == words["node"]]
        return same[0] if len(same) == 1 else None

    @property
    def is_per_node(self) -> bool:
        """Whether images are counted node by node."""
        return self.filters.per in (None, "node")

    def own(self, images: Iterable[SavedImage]) -> list[SavedImage]:
        """Its images, of any night."""
        pattern = self._pattern
        return [image for image in images if pattern.fullmatch(image.name)]

    def tonight(self, images: Iterable[SavedImage]) -> dict[str, SavedImage]:
        """By node, the images that it wants and that are there; one that failed is not."""
        there: dict[str, SavedImage] = {}
        for image in images:
            if image.state in (ImageState.READY, ImageState.CREATING):
                there.setdefault(image.name, image)
                there.setdefault(_SUFFIX.sub("", image.name), image)
        return {node: there[name] for node, name in self.wanted.items() if name in there}

    def surplus(
        self,
        images: Sequence[SavedImage],
        *,
        unsaved: Mapping[str, str],
        failed: Collection[str] = (),
    ) -> list[SavedImage]:
        """What is too many: never an image in use, nor one that is not of this rotation.

        Args:
            images: A listing.
            unsaved: By node, images that count as there: they will be when it comes to deleting.
            failed: Nodes whose image did not get ready. Nothing of theirs is deleted; and nothing
                at all, where images are not counted node by node.
        """
        if failed and not self.is_per_node:
            return []
        own = [image for image in self.own(images) if image.state is ImageState.READY]
        pending = list(self._pending(own, unsaved))
        nodes = {image.image_id: self.node_of(image) for image in own}
        nodes |= {f"{_PENDING}{node}": node for node in unsaved}

        def node(image: SavedImage) -> str | None:
            return nodes[image.image_id]

        group: Group | None = node
        if not self.is_per_node:
            group = group_of(self.filters.per)
        filters = attrs.evolve(self.filters, not_in_use=True)
        found = filtered(filters, [*own, *pending], group=group)
        spared = {*pending, *select.where(lambda image: node(image) in failed, own)}
        return [image for image in found if image not in spared]

    def _pending(
        self, own: Sequence[SavedImage], unsaved: Mapping[str, str]
    ) -> Iterator[SavedImage]:
        """Images that stand for those that are still to be saved.

        Each is the newest of all, and otherwise as the last one of its node.
        """
        dates = [image.creation_time for image in own if image.creation_time is not None]
        now = max([datetime.now(UTC), *(date + timedelta(seconds=1) for date in dates)])
        last = {self.node_of(image): image for image in select.newest(1, own, per=self.node_of)}
        for node, name in unsaved.items():
            before = last.get(node, SavedImage(image_id=node))
            yield attrs.evolve(
                before,
                image_id=f"{_PENDING}{node}",
                name=name,
                image_state=ImageState.READY.value,
                creation_time=now,
            )


async def rotate(
    *nodes: Annotated[str, argument("NODE", "Ids, or names.")],
    every: Annotated[bool, option("--all", section=WHICH, text="All nodes.")] = False,
    name: Annotated[
        str,
        option(
            "--name",
            metavar="TEMPLATE",
            text="The names of the images, such as 'nightly-{node}-{date}'; also {id}, {time}.",
        ),
    ],
    filters: FilterOptions = NO_FILTERS,
    waiting: WaitOptions = DEFAULT_WAIT,
    change: ChangeOptions = DEFAULT_CHANGE,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Save nodes, wait for the images, then delete surplus images.

    --keep N keeps the newest N images of each node (--per node), including the new one. Only images
    whose names fit the template are counted or deleted, and never one in use. If the save of a node
    fails, none of its images are deleted; with --per distro or none, no images at all.

    It is safe to start again: an existing image of this name is not saved twice. The other filters
    exclude images from deletion. Dates are in UTC.
    """
    one_of({"NODE": bool(nodes), "--all": every})
    template = _checked_template(name, filters)
    origin = Origin(command="rotate", wait=True)
    async with opened_job(shell, change, origin, waiting=waiting_of(waiting)) as opened:
        meant = await meant_nodes(opened.session, nodes, every=every, names=True)
        rotation = _rotation(template, meant, filters)
        images = await opened.session.images.list()
        there = rotation.tonight(images)
        unsaved = {node: text for node, text in rotation.wanted.items() if node not in there}
        doomed = rotation.surplus(images, unsaved=unsaved)
        agreed_on = [image.image_id for image in doomed]
        job = attrs.evolve(
            opened.knowing(images),
            nodes=rotation.names,
            origin=opened.origin.rotating({**rotation.to_dict(), "surplus": agreed_on}),
        )
        saves = Plan.save(unsaved)
        if agreed(job, saves, Plan.delete(doomed)):
            return await carry_out(job, rotation, saves, agreed_on)
        return Exit.OK


def _checked_template(name: str, filters: Filters) -> Template:
    template = Template("--name", name, SAVE_FIELDS)
    if filters.keep is None or filters.keep < 1:
        raise CommandError("--keep N is needed, 1 or more: how many images of each node stay")
    if not template.uses("date"):
        raise CommandError("--name: {date} is needed in it, so that each day has its own image")
    check_filters(attrs.evolve(filters, per=None) if filters.per == "node" else filters)
    return template


def _rotation(template: Template, nodes: Sequence[tuple[str, str]], filters: Filters) -> Rotation:
    names_node = template.uses("node") or template.uses("id")
    if len(nodes) > 1 and not names_node:
        raise CommandError("--name: {node} or {id} is needed in it, as there are several nodes")
    return Rotation(
        template=template.text,
        names=dict(nodes),
        wanted=dict(names_of_nodes(template, nodes)),
        filters=filters,
    )


def agreed(job: Job, saves: Plan, deletions: Plan) -> bool:
    """Show what will be done, and ask. False where that was all: a dry run.

    Raises:
        CommandError: The answer is no.
    """
    both = Plan.of([*saves, *deletions])
    if job.run.dry_run:
        job.preview(both)
        return False
    job.warn(both)
    if len(both) and not job.run.yes:
        job.show(both)
        job.ask(_question(job, saves, deletions))
    return True


def _question(job: Job, saves: Plan, deletions: Plan) -> str:
    saving = counted(len(saves), "node")
    if not len(deletions):
        return f"Save {saving}? Nothing is deleted."
    deleting = f"delete {job.amount(deletions)}? Deleting cannot be undone."
    if not len(saves):
        return deleting.capitalize()
    return f"Save {saving}, then {deleting}"


async def carry_out(
    job: Job,
    rotation: Rotation,
    saves: Plan,
    agreed_on: Collection[str],
    *,
    journal: Journal | None = None,
) -> Exit:
    """Save, wait, and delete what is too many of what was agreed on.

    Args:
        job: Runs the saves.
        rotation: The rotation.
        saves: What is still to be saved.
        agreed_on: The ids of the images that may be deleted.
        journal: That of the saves, where they go on.
    """
    results: list[Result] = []
    code = Exit.OK
    if len(saves) or journal is not None:
        saved = await job.execute(saves, earlier=journal)
        job.tell(saved)
        results += saved.results
        code = saved.code
    stops = job.interrupted or (code is not Exit.OK and job.run.on_error == "stop")
    if not stops:
        code = max(code, await _delete(job, rotation, results, agreed_on))
    if not results and code is Exit.OK:
        job.shell.screen.note("nothing to do: every image of today is there, and none is too many")
    job.print(results)
    return code


async def _delete(
    job: Job, rotation: Rotation, results: list[Result], agreed_on: Collection[str]
) -> Exit:
    """Delete what is too many, but nothing that a save which did not end well was to replace.

    Args:
        job: That of the saves.
        rotation: The rotation.
        results: What came of the saves; what comes of the deletions is added.
        agreed_on: The ids of the images that may be deleted.
    """
    images = await job.session.images.list()
    failed = await _not_ready(job, rotation, results, images)
    code = Exit.OK
    if failed:
        code = Exit.FAILED
        _tell_failed(job, rotation, failed)
    surplus = rotation.surplus(images, unsaved={}, failed=failed)
    plan = Plan.delete([image for image in surplus if image.image_id in agreed_on])
    if len(plan):
        origin = attrs.evolve(job.origin, rotation=None, wait=False, missing_ok=True)
        deleting = attrs.evolve(job, origin=origin, waiting=None)
        deleted = await deleting.execute(plan)
        deleting.tell(deleted)
        results += deleted.results
        code = max(code, deleted.code)
    return code


def _tell_failed(job: Job, rotation: Rotation, failed: Iterable[str]) -> None:
    names = ", ".join(sorted(map(rotation.name_of, failed)))
    if rotation.is_per_node:
        job.shell.screen.note(f"nothing is deleted of {names}: not saved")
    else:
        job.shell.screen.note(f"nothing is deleted: {names} not saved")


async def _not_ready(
    job: Job, rotation: Rotation, results: Sequence[Result], images: Sequence[SavedImage]
) -> set[str]:
    """The nodes whose image of tonight is not ready. Images of an earlier start are waited for."""
    saved = {result.outcome.step.target: result.ok for result in results}
    ready = {node for node, ok in saved.items() if ok}
    waiting = job.waiting or Waiting()
    waits: dict[str, Awaitable[SavedImage]] = {}
    for node, image in rotation.tonight(images).items():
        if node not in saved:
            waits[node] = job.session.images.wait(
                image, timeout=waiting.timeout, interval=waiting.interval
            )
    found = await wait_for_all(job.shell, waits, wanted=not job.run.no_progress)
    ready |= {node for node, image in found.items() if isinstance(image, SavedImage)}
    return set(rotation.wanted) - ready
