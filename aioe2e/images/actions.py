"""The image actions of a session: ``session.images``."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack

from aioe2e import _check, bulk
from aioe2e._call import Channel, Options
from aioe2e._record import CallRecord
from aioe2e.errors import ImageFailedError, NotFoundError, UsageError, WaitTimeoutError
from aioe2e.models import (
    Action,
    ActionResult,
    ImageLike,
    ImageState,
    NodeLike,
    SaveAction,
    SavedImage,
    WaitProgress,
    image_id_of,
    node_id_of,
)

from .listing import Listing
from .memory import ImageMemory
from .naming import named, several, similar
from .waits import WaitTold, poll
from .writes import Writes

if TYPE_CHECKING:
    from .runs import Runs

__all__ = ["Images"]

T = TypeVar("T")

#: States in which an image does not become another one by waiting.
_FINISHED: Final = frozenset({ImageState.READY, ImageState.ERROR, ImageState.DISABLED})


class Images:
    """Saved images of the session's project and location. Made by the session: ``session.images``.

    Every coroutine may raise, besides what it names: `UsageError` (an argument cannot be sent;
    nothing was), `SessionError` (closed, or another event loop), `TransportError` (no reply),
    `DeadlineExceededError` (`Timeouts.total` is over), `APIError` and its subclasses (the server
    refused the request), `ResponseError` (the reply could not be parsed), and `ConfigError` where a
    callable that gives the token does not work.
    """

    def __init__(self, channel: Channel, memory: ImageMemory, options: Options) -> None:
        self._channel = channel
        self._memory = memory
        self._options = options
        self._writes = Writes(channel, memory, options)

    @cached_property
    def _runs(self) -> Runs:
        from .runs import Runs  # noqa: PLC0415  # loads with the first run

        return Runs(self._channel, self._memory, self._options)

    async def list(self, match: Callable[[SavedImage], object] | None = None) -> list[SavedImage]:
        """All saved images, in the server's order.

        (``GET images/saved-images/``; the server does not paginate.)

        Args:
            match: Keeps the images for which it is true; the predicates of `aioe2e.select` fit.

        Returns:
            The images. A large reply is parsed and decoded in slices, with a turn of the loop
            between them.

        May be repeated: it changes nothing, and is retried after every fault that passes.

        Raises:
            ResponseError: Not a list of saved images; each element without an id is named by its
                JSON path.
        """
        if match is not None:
            _check.require_callable("match", match, "select.name_matches('ci-*')")
        listing = await self._memory.list_with_retries(self._options, CallRecord())
        return [image for image in listing.images if match is None or match(image)]

    async def get(self, image: ImageLike) -> SavedImage:
        """One saved image, out of the listing.

        (The route for a single image is not documented by the vendor.)

        Args:
            image: A `SavedImage` or an id.

        Returns:
            The image as the listing shows it.

        May be repeated: it changes nothing.

        Raises:
            NotFoundError: The listing does not show it.
        """
        wanted = image_id_of(image)
        record = CallRecord()
        listing = await self._memory.list_with_retries(self._options, record)
        if wanted in listing.by_id:
            return listing.by_id[wanted]
        for found in listing.images:  # one whose state is DELETED
            if found.image_id == wanted:
                return found
        text = f"get of image {wanted}: the listing does not show it"
        namesakes = [image.image_id for image in listing.images if image.name == wanted]
        if namesakes:
            text += (
                f"; that is the name of image {', '.join(namesakes)}: images.by_name takes a name"
            )
        error = _absent(text, "get", listing, record.attempts)
        error.confirmed = error.confirmed and not self._may_be_new(wanted, listing)
        raise error

    async def by_name(self, name: str) -> SavedImage:
        """The one saved image of a name.

        An image with exactly this name goes first. Otherwise that one counts whose name a save
        under this name can have made: the server puts ``-disk-0`` or ``_<epoch>`` behind it, or
        keeps it in ``os_distribution`` behind the location.

        Args:
            name: The name.

        Returns:
            The image as the listing shows it.

        May be repeated: it changes nothing.

        Raises:
            NotFoundError: The listing shows none; the text names similar ones.
            AmbiguousNameError: It shows several; the text and `image_ids` name them.
        """
        wanted = _check.checked_name(name)
        record = CallRecord()
        listing = await self._memory.list_with_retries(self._options, record)
        there = list(listing.by_id.values())
        image = named(there, wanted)
        if image is None:
            text = f"no saved image is named {_check.quoted(wanted)}{similar(there, wanted)}"
            raise _absent(text, "get", listing, record.attempts)
        return image

    async def save(self, node: NodeLike, name: str) -> SaveAction:
        """Save an image of a node: accepted, not finished. `wait_saved` waits for the image.

        Args:
            node: The node's id.
            name: 1 to 255 characters, no control characters, no white space at either end. Whether
                it must be unique is for the server to say.

        Returns:
            The action. Its `image_id` is None with most servers, and its `action_id` is None where
            the reply was lost and the listing proved the save.

        Must not be repeated blindly: a second save makes a second image. The library sends it again
        only when the first was certainly not carried out, and looks for it in the listing for
        `RetryPolicy.look` seconds when its reply was lost. (``POST nodes/{node}/actions/`` with
        ``{"type": "save_images", "name": …}``.)

        Raises:
            OutcomeUnknownError: It was sent, its reply was lost, and the listing does not show its
                image.
        """
        return await self._writes.save(node_id_of(node), _check.checked_name(name), CallRecord())

    async def rename(self, image: ImageLike, name: str) -> ActionResult:
        """Give an image a new name.

        Args:
            image: A `SavedImage` or an id.
            name: 1 to 255 characters, no control characters, no white space at either end.

        Returns:
            What the server said; an empty message where its reply was lost and the listing proved
            the rename.

        May be repeated. (``POST images/{id}/`` with ``{"action_type": "rename", "name": …}``.)

        Raises:
            NotFoundError: There is no such image.
            ConflictError: The name is taken.
            OutcomeUnknownError: It was sent, no reply came, and the listing does not show the new
                name.
        """
        return await self._writes.rename(
            image_id_of(image), _check.checked_name(name), CallRecord()
        )

    async def delete(self, image: ImageLike, missing_ok: bool = False) -> ActionResult:
        """Delete an image.

        Args:
            image: A `SavedImage` or an id.
            missing_ok: Whether an image that is not there is fine (as in `pathlib.Path.unlink`).

        Returns:
            What the server said. The message says that the image was not found where `missing_ok`
            forgave that, and is empty where the reply was lost and the listing proved the delete.

        May be repeated: "not found" after a lost reply counts as done when the listing does not
        show the image. (``POST images/{id}/`` with ``{"action_type": "delete_image"}``.)

        Raises:
            NotFoundError: There is no such image, and `missing_ok` is false or the listing does not
                confirm it.
            ConflictError: The image is in use.
            OutcomeUnknownError: It was sent, no reply came, and the listing does not show that it
                is gone.
        """
        missing_ok = _check.require_bool("missing_ok", missing_ok)
        result, _ = await self._writes.delete(
            image_id_of(image), CallRecord(), missing_ok=missing_ok
        )
        return result

    async def wait(
        self,
        image: ImageLike,
        state: ImageState = ImageState.READY,
        timeout: float | None = 1800.0,
        interval: float = 5.0,
        progress: Callable[[WaitProgress], object] | None = None,
    ) -> SavedImage:
        """Wait until an image is in a state.

        Args:
            image: A `SavedImage` or an id.
            state: The state to wait for; not DELETED, for which there is `wait_gone`.
            timeout: Seconds, above 0; None waits for ever.
            interval: Seconds until the second listing, 0.01 to 60; it grows to 60. All waiters of a
                session share their listings.
            progress: Called after each listing that does not end the wait.

        Returns:
            The image as the listing shows it then.

        May be repeated: it changes nothing, and waits through faults that pass.

        Raises:
            ImageFailedError: The image cannot come to that state any more: it turned ERROR,
                DISABLED or is being deleted.
            NotFoundError: The listing does not show the image.
            WaitTimeoutError: The time is over.
        """
        wanted = image_id_of(image)
        if not isinstance(state, ImageState):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise UsageError(f"state must be an ImageState, not {state!r}")
        if state is ImageState.DELETED:
            raise UsageError(
                "state must not be DELETED: a deleted image counts as absent; use wait_gone"
            )

        def found(listing: Listing) -> SavedImage | None:
            shown = listing.by_id.get(wanted)
            if shown is not None:
                return self._arrived(shown, state)
            if self._may_be_new(wanted, listing):
                return None
            raise _absent(f"waiting for image {wanted}: it is not in the listing", "wait", listing)

        waiting_for = f"waiting for image {wanted} to be {state.value}"
        return await self._poll(
            found,
            lambda listing: _state_in(listing, wanted),
            waiting_for=waiting_for,
            timeout=timeout,
            interval=interval,
            progress=progress,
        )

    async def wait_gone(
        self,
        image: ImageLike,
        timeout: float | None = 600.0,
        interval: float = 5.0,
        progress: Callable[[WaitProgress], object] | None = None,
    ) -> None:
        """Wait until the listing does not show an image any more, or shows it as DELETED.

        Args:
            image: A `SavedImage` or an id.
            timeout: Seconds, above 0; None waits for ever.
            interval: Seconds, as for `wait`.
            progress: Called after each listing that does not end the wait.

        May be repeated: it changes nothing, and waits through faults that pass.

        Raises:
            WaitTimeoutError: The time is over.
        """
        wanted = image_id_of(image)
        await self._poll(
            lambda listing: self._is_gone(wanted, listing) or None,
            lambda listing: _state_in(listing, wanted),
            waiting_for=f"waiting for image {wanted} to be gone",
            timeout=timeout,
            interval=interval,
            progress=progress,
        )

    async def wait_saved(
        self,
        action: SaveAction | None = None,
        timeout: float | None = 1800.0,
        interval: float = 5.0,
        progress: Callable[[WaitProgress], object] | None = None,
        *,
        node: NodeLike | None = None,
        name: str | None = None,
        since: datetime | None = None,
    ) -> SavedImage:
        """Wait until the image of a save is there and READY.

        ::

            image = await session.images.wait_saved(action)
            image = await session.images.wait_saved(node="32203", name="nightly", since=moment)

        Args:
            action: What `save` returned. Where the server did not name the image, it is found by
                its name among those that are newer than the save. If it is lost, `node`, `name`
                and `since` take its place.
            timeout: Seconds, above 0; None waits for ever.
            interval: Seconds, as for `wait`.
            progress: Called after each listing that does not end the wait; with the state None
                until the image is found.
            node: The node that was saved, instead of an action.
            name: The name that the save asked for, instead of an action.
            since: A moment before the save, with a time zone, instead of an action. Images that
                are older are not taken for its own. It is compared with the server's clock: go a
                minute back where the two clocks may differ.

        Returns:
            The image as the listing shows it then.

        May be repeated: it changes nothing, and waits through faults that pass.

        Raises:
            ImageFailedError: The image turned ERROR.
            WaitTimeoutError: The time is over; or, before that, more than one image may be the one
                and waiting longer would not tell which. The text names them.
        """
        save = _save_waited_for(action, node, name, since)
        waiting_for = f"waiting for the image {save.name!r} of node {save.node_id} to be READY"

        def found(listing: Listing) -> SavedImage | None:
            candidates = self._candidates(save, listing)
            if len(candidates) == 1:
                return self._arrived(candidates[0], ImageState.READY)
            if candidates and all(image.state in _FINISHED for image in candidates):
                raise _ambiguous(waiting_for, candidates)
            return None

        def state_in(listing: Listing) -> ImageState | None:
            candidates = self._candidates(save, listing)
            return candidates[0].state if len(candidates) == 1 else None

        return await self._poll(
            found,
            state_in,
            waiting_for=waiting_for,
            timeout=timeout,
            interval=interval,
            progress=progress,
        )

    async def run(
        self,
        plan: bulk.Plan | Iterable[bulk.Step] | AsyncIterable[bulk.Step],
        *,
        missing_ok: bool = False,
        **options: Unpack[bulk.RunOptions],
    ) -> bulk.Report:
        """Carry out a plan, or any number of steps from an iterable.

        Args:
            plan: A `Plan`; or a sync or async iterable of `Step`, however long: memory grows with
                `limit` only.
            missing_ok: Whether an image that is not there makes a delete UNCHANGED instead of
                FAILED.
            options: See `aioe2e.bulk.RunOptions`: `limit`, `on_error`, `progress`, `deadline`,
                `journal`, `wait_for_budget` and `verify`.

        Returns:
            The report. Failures are in it and are not raised; see `Report.raise_for_errors`.

        Raises:
            UsageError: An argument cannot be meant, or the journal is not this plan's. Nothing was
                sent.
        """
        return await self.stream(plan, missing_ok=missing_ok, **options).drain()

    def stream(
        self,
        plan: bulk.Plan | Iterable[bulk.Step] | AsyncIterable[bulk.Step],
        *,
        missing_ok: bool = False,
        **options: Unpack[bulk.RunOptions],
    ) -> bulk.Stream:
        """The same as `run`, as a stream of outcomes in the order of completion.

        ::

            async with session.images.stream(plan, limit=16) as outcomes:
                async for outcome in outcomes:
                    ...

        Args:
            plan, missing_ok, options: As for `run`.

        Returns:
            A stream that has not begun; see `Stream` for how it ends.

        Raises:
            UsageError: An argument cannot be meant. What is wrong with a journal is raised by
                ``async with``.
        """
        missing_ok = _check.require_bool("missing_ok", missing_ok)
        return self._runs.stream(plan, missing_ok=missing_ok, **options)

    async def bulk_rename(
        self,
        images: Mapping[Any, str]
        | Iterable[tuple[ImageLike, str] | ImageLike]
        | AsyncIterable[tuple[ImageLike, str] | ImageLike],
        *,
        to: Callable[[SavedImage], str] | None = None,
        existing: Iterable[SavedImage] | None = None,
        **options: Unpack[bulk.RunOptions],
    ) -> bulk.Report:
        """Plan new names and give them, in one go.

        Args:
            images, to, existing: As for `Plan.rename`. A collection with a length is planned and
                ordered; any other iterable, sync or async, is streamed: then each item is checked
                by itself only.
            options: As for `run`.

        Returns:
            The report; see `run`. Calling again with the same inputs does no harm.

        Raises:
            UsageError: Some inputs cannot be right. Nothing was sent.
        """
        source = bulk.steps_or_plan(
            Action.RENAME, images, to, existing, partial(bulk.Plan.rename, to=to, existing=existing)
        )
        return await self.run(source, **options)

    async def bulk_delete(
        self,
        images: Iterable[ImageLike] | AsyncIterable[ImageLike],
        *,
        missing_ok: bool = False,
        force: bool = False,
        existing: Iterable[SavedImage] | None = None,
        **options: Unpack[bulk.RunOptions],
    ) -> bulk.Report:
        """Plan deletions and carry them out, in one go.

        Args:
            images, existing, force: As for `Plan.delete`; any iterable without a length is
                streamed.
            missing_ok: Whether an image that is not there is UNCHANGED instead of FAILED.
            options: As for `run`.

        Returns:
            The report; see `run`. Calling again with the same inputs does no harm.

        Raises:
            UsageError: Some inputs cannot be right. Nothing was sent.
        """
        plan = partial(bulk.Plan.delete, existing=existing, force=force)
        source = bulk.steps_or_plan(Action.DELETE, images, None, existing, plan, force=force)
        return await self.run(source, missing_ok=missing_ok, **options)

    async def bulk_save(
        self,
        nodes: Mapping[Any, str]
        | Iterable[tuple[NodeLike, str] | NodeLike]
        | AsyncIterable[tuple[NodeLike, str] | NodeLike],
        *,
        to: Callable[[str], str] | None = None,
        existing: Iterable[SavedImage] | None = None,
        same_names: bool = False,
        **options: Unpack[bulk.RunOptions],
    ) -> bulk.Report:
        """Plan an image of each node and save them, in one go.

        `Report.saved` gives what `wait_saved` takes, one by one.

        Args:
            nodes, to, existing, same_names: As for `Plan.save`; any iterable without a length is
                streamed.
            options: As for `run`.

        Returns:
            The report; see `run`. Calling again makes second images. Run `Report.remaining`
            instead, which leaves out every save that may have been carried out.

        Raises:
            UsageError: Some inputs cannot be right. Nothing was sent.
        """
        plan = partial(bulk.Plan.save, to=to, existing=existing, same_names=same_names)
        source = bulk.steps_or_plan(Action.SAVE, nodes, to, existing, plan)
        return await self.run(source, **options)

    async def reconcile(self, report: bulk.Report) -> bulk.Report:
        """Settle the UNKNOWN outcomes of a report to DONE where one listing proves it.

        A rename is proven by the name, a delete by the image's absence, a save by a new image of
        its name that no other save of this session can have made. What the listing does not prove
        stays UNKNOWN: it may still take effect. Saves of two programs under one name at the same
        moment cannot be told apart: the image of the other is taken for the lost one.

        Args:
            report: Of a run in this session or, where it came from a journal, of any.

        May be repeated: it changes nothing on the server.

        Returns:
            A new report; the given one is left as it is. Without UNKNOWN outcomes nothing is asked
            of the server.
        """
        if not isinstance(report, bulk.Report):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
            raise UsageError(f"report must be a Report, not {type(report).__name__}")
        return await self._runs.reconcile(report)

    def _candidates(self, action: SaveAction, listing: Listing) -> Sequence[SavedImage]:
        """The images in a listing that may be that of a save."""
        if action.image_id is None:
            return self._memory.saves.candidates(action, listing)
        image = listing.by_id.get(action.image_id)
        return [] if image is None else [image]

    def _may_be_new(self, image_id: str, listing: Listing) -> bool:
        """Whether an image that a listing does not show may be too new for it."""
        return self._memory.may_be_new(image_id, listing, self._options.retry.look)

    def _is_gone(self, image_id: str, listing: Listing) -> bool:
        """Whether a listing shows that an image is not there, and not only that it is new."""
        return listing.lacks(image_id) and not self._memory.saves.is_unborn(image_id)

    def _arrived(self, image: SavedImage, state: ImageState) -> SavedImage | None:
        """The image if it is in the state, None if it may still get there."""
        if image.state is state:
            return image
        if image.state not in _DEAD_ENDS[state]:
            return None
        said = self._channel.redactor.clean(f"{image.name!r} turned {image.image_state!r}")
        raise ImageFailedError(
            f"image {image.image_id}: {said}; it will not be {state.value}", image_id=image.image_id
        )

    async def _poll(
        self,
        found: Callable[[Listing], T | None],
        state_in: Callable[[Listing], ImageState | None],
        *,
        waiting_for: str,
        timeout: float | None,
        interval: float,
        progress: Callable[[WaitProgress], object] | None,
    ) -> T:
        if progress is not None:
            _check.require_callable("progress", progress, "print")
        _check.require_wait_times(timeout, interval)
        self._channel.enter()
        return await poll(
            self._channel,
            self._memory.listings,
            found,
            waiting_for=waiting_for,
            timeout=timeout,
            interval=interval,
            told=None if progress is None else WaitTold(progress, state_in),
        )


#: By state that is waited for, the states from which it is not reached any more.
_DEAD_ENDS: Final[Mapping[ImageState, frozenset[ImageState]]] = {
    ImageState.READY: frozenset({ImageState.ERROR, ImageState.DISABLED, ImageState.DELETING}),
    ImageState.CREATING: frozenset(
        {ImageState.READY, ImageState.ERROR, ImageState.DISABLED, ImageState.DELETING}
    ),
    ImageState.ERROR: frozenset({ImageState.DELETING}),
    ImageState.DISABLED: frozenset({ImageState.ERROR, ImageState.DELETING}),
    ImageState.DELETING: frozenset(),
    ImageState.UNKNOWN: frozenset({ImageState.ERROR}),
}


def _state_in(listing: Listing, image_id: str) -> ImageState | None:
    """The state of an image in a listing; None where the listing does not show it."""
    shown = listing.by_id.get(image_id)
    return None if shown is None else shown.state


def _save_waited_for(
    action: SaveAction | None, node: NodeLike | None, name: str | None, since: datetime | None
) -> SaveAction:
    """The save whose image is waited for: the action, or one made of what is known of it.

    Raises:
        UsageError: It is neither, or both, or one of the three is missing or cannot be meant.
    """
    if action is None:
        return _save_of(node, name, since)
    if not isinstance(action, SaveAction):  # pyright: ignore[reportUnnecessaryIsInstance]  # callers without types
        raise UsageError(
            f"action must be the SaveAction that save() returned, not {type(action).__name__}"
        )
    for argument, value in (("node", node), ("name", name), ("since", since)):
        if value is not None:
            raise UsageError(f"{argument}: give either the action, or node, name and since")
    return action


def _save_of(node: NodeLike | None, name: str | None, since: datetime | None) -> SaveAction:
    """An action made of what is known of a save."""
    if node is None or name is None or since is None:
        given = {"node": node, "name": name, "since": since}
        missing = ", ".join(argument for argument, value in given.items() if value is None)
        raise UsageError(
            "give the SaveAction that save() returned, or node, name and since"
            f" (missing: {missing})"
        )
    if getattr(since, "tzinfo", None) is None:
        raise UsageError("since must be a datetime with a time zone: datetime.now(UTC)")
    return SaveAction(node_id=node_id_of(node), name=_check.checked_name(name), created_at=since)


def _absent(text: str, action: str, listing: Listing, attempts: int = 0) -> NotFoundError:
    """The error for an image that a listing does not show, with the status of the server's own."""
    text = f"{text} [a listing shows one location of one project]"
    error = NotFoundError(
        text, status=404, message="not in the listing", action=action, attempts=attempts
    )
    error.confirmed = not listing.partial
    return error


def _ambiguous(waiting_for: str, candidates: Sequence[SavedImage]) -> WaitTimeoutError:
    """The error for a save whose image can be any of several: waiting longer would not tell."""
    return WaitTimeoutError(
        f"{len(candidates)} images may be the one, and nothing tells them apart: "
        f"{several(candidates)}; look which it is, and go on with its id",
        subject=waiting_for,
    )
