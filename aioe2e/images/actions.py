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
    """The saved images of the session's project and location, as ``session.images``.

    In addition to the errors that it lists, every coroutine may raise:

    - `UsageError`: an argument is invalid; nothing was sent;
    - `SessionError`: the session is closed, or belongs to another event loop or process;
    - `TransportError`: there was no reply;
    - `DeadlineExceededError`: `Timeouts.total` is over;
    - `APIError` and its subclasses: the server refused the request;
    - `ResponseError`: the reply could not be read;
    - `ConfigError`: a callable that gives the auth token failed, or a limiter did;
    - `GuardError`: the guard did not allow a write.
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
        """Return all saved images, in the server's order.

        Sends ``GET images/saved-images/``, which the server does not paginate. Safe to call again:
        it changes nothing, and is retried after every transient error.

        Args:
            match: Keeps the images for which it returns true, such as a predicate of
                `aioe2e.select`.

        Returns:
            The images. A large reply is read in slices, so that it does not block the event loop.

        Raises:
            ResponseError: The reply is not a list of saved images. It names each element without an
                id by its JSON path.
        """
        if match is not None:
            _check.require_callable("match", match, "select.name_matches('ci-*')")
        listing = await self._memory.list_with_retries(self._options, CallRecord())
        return [image for image in listing.images if match is None or match(image)]

    async def get(self, image: ImageLike) -> SavedImage:
        """Return one saved image by its id.

        The image is looked up in a listing, since the vendor does not document a route for a single
        image. Safe to call again: it changes nothing.

        Args:
            image: A `SavedImage` or an id. To find an image by its name, use `by_name`.

        Returns:
            The image as the listing shows it.

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
        namesakes = [image for image in listing.images if image.name == wanted]
        if namesakes:
            text += f"; that is the name of image {several(namesakes)}: images.by_name takes a name"
        error = _absent(text, "get", listing, record.attempts)
        error.confirmed = error.confirmed and not self._may_be_new(wanted, listing)
        raise error

    async def by_name(self, name: str) -> SavedImage:
        """Return the one saved image with a name.

        An exact match wins. Otherwise it also accepts the forms in which the server lists a saved
        image: the name followed by ``-disk-0`` or ``_<epoch>``, or the name in ``os_distribution``
        after the location. Safe to call again: it changes nothing.

        Args:
            name: The name.

        Returns:
            The image as the listing shows it.

        Raises:
            NotFoundError: No image matches; the text names similar ones.
            AmbiguousNameError: Several images match; the text and `AmbiguousNameError.image_ids`
                name them.
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
        """Start to save an image of a node, without waiting for the image.

        The server accepts a save at once and makes the image afterwards; `wait_saved` waits for it.

        Not safe to call again: a second save makes a second image. The library sends a save again
        only if the first request certainly had no effect. If the reply is lost, it checks the
        listing for `RetryPolicy.look` seconds. Sends ``POST nodes/{node}/actions/`` with ``{"type":
        "save_images", "name": …}``.

        Args:
            node: A `Node` or the id of one.
            name: The name of the image, 1 to 255 characters, without control characters, and
                without white space at either end. The server decides whether it must be unique.

        Returns:
            The action. Its `SaveAction.image_id` is None with most servers, and its
            `SaveAction.action_id` is None if the reply was lost and the listing confirmed the save.

        Raises:
            NotFoundError: There is no such node.
            ConflictError: The name is taken.
            APIError: The server refused otherwise. If an image of the node is being made already,
                `APIError.passing` is true.
            OutcomeUnknownError: The save was sent, its reply was lost, and the listing does not
                show the image.
        """
        return await self._writes.save(node_id_of(node), _check.checked_name(name), CallRecord())

    async def rename(self, image: ImageLike, name: str) -> ActionResult:
        """Rename an image.

        Safe to call again. Sends ``POST images/{id}/`` with ``{"action_type": "rename", "name":
        …}``.

        Args:
            image: A `SavedImage` or an id.
            name: The new name, 1 to 255 characters, without control characters, and without white
                space at either end.

        Returns:
            The server's message. It is empty if the reply was lost and the listing confirmed the
            rename.

        Raises:
            NotFoundError: There is no such image.
            ConflictError: The name is taken.
            OutcomeUnknownError: The rename was sent, its reply was lost, and the listing does not
                show the new name.
        """
        return await self._writes.rename(
            image_id_of(image), _check.checked_name(name), CallRecord()
        )

    async def delete(self, image: ImageLike, missing_ok: bool = False) -> ActionResult:
        """Delete an image.

        Safe to call again, with ``missing_ok=True`` if an earlier delete may have been carried out.
        Within one call, "not found" after a lost reply counts as done if the listing does not show
        the image either. Sends ``POST images/{id}/`` with ``{"action_type": "delete_image"}``.

        Args:
            image: A `SavedImage` or an id.
            missing_ok: Whether a missing image is fine, as in ``pathlib.Path.unlink``.

        Returns:
            The server's message. It reports that the image was not found if ``missing_ok``
            suppressed that error, and is empty if the reply was lost and the listing confirmed the
            delete.

        Raises:
            NotFoundError: There is no such image, and ``missing_ok`` is false or the listing does
                not confirm that it is missing.
            ConflictError: The image is in use.
            OutcomeUnknownError: The delete was sent, its reply was lost, and the listing does not
                show that the image is gone.
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

        Safe to call again: it changes nothing. It survives transient errors.

        Args:
            image: A `SavedImage` or an id.
            state: The state to wait for. For DELETED, use `wait_gone`.
            timeout: Seconds until the wait fails, above 0; None for no limit.
            interval: Seconds until the second poll, 0.01 to 60; it grows to 60. All waits of a
                session for images share their listings.
            progress: Called with a `WaitProgress` after each poll that does not end the wait.

        Returns:
            The image as the last listing shows it.

        Raises:
            ImageFailedError: The image can no longer reach that state, because it is ERROR or
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
        """Wait until the listing no longer shows an image, or shows it as DELETED.

        Safe to call again: it changes nothing. It survives transient errors.

        Args:
            image: A `SavedImage` or an id.
            timeout: Seconds until the wait fails, above 0; None for no limit.
            interval: Seconds until the second poll, 0.01 to 60; it grows to 60.
            progress: Called with a `WaitProgress` after each poll that does not end the wait.

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
        """Wait until the image of a save is listed and READY.

        ::

            image = await session.images.wait_saved(action)
            image = await session.images.wait_saved(node="32203", name="nightly", since=moment)

        Safe to call again: it changes nothing. It survives transient errors.

        Args:
            action: The result of `save`. If the server did not report the id of the image, the
                image is found by its name among those that are newer than the save. Without an
                action, pass ``node``, ``name`` and ``since``.
            timeout: Seconds until the wait fails, above 0; None for no limit.
            interval: Seconds until the second poll, 0.01 to 60; it grows to 60.
            progress: Called with a `WaitProgress` after each poll that does not end the wait. Its
                state is None until the image is found.
            node: The node that was saved, instead of an action.
            name: The name that the save asked for, instead of an action.
            since: A time before the save, with a time zone, instead of an action. Images created
                earlier are ignored. It is compared with the server's clock: go back a minute if the
                two clocks may differ.

        Returns:
            The image as the last listing shows it.

        Raises:
            ImageFailedError: The image can no longer become READY, because it is ERROR or DISABLED
                or is being deleted.
            WaitTimeoutError: The time is over; or several images match and waiting longer would not
                help. The text names them.
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
            plan: A `Plan`; or a sync or async iterable of `Step` of any length, for which memory
                grows with ``limit`` only.
            missing_ok: Whether deleting a missing image is UNCHANGED instead of FAILED.
            options: The fields of `aioe2e.bulk.RunOptions`, such as ``limit``, ``journal`` and
                ``progress``.

        Returns:
            The report. Failed steps are in it and raise nothing; see `Report.raise_for_errors`.

        Raises:
            UsageError: An argument is invalid, or the journal belongs to another plan. Nothing was
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
        """Carry out a plan or an iterable of steps, and yield outcomes in the order of completion.

        ::

            async with session.images.stream(plan, limit=16) as outcomes:
                async for outcome in outcomes:
                    ...

        Args:
            plan: As for `run`.
            missing_ok: As for `run`.
            options: As for `run`.

        Returns:
            A stream that has not started yet; see `Stream`.

        Raises:
            UsageError: An argument is invalid. Problems with a journal are raised by ``async
                with``.
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
        """Rename many images: plan and run in one call.

        Safe to call again with the same inputs.

        Args:
            images: A mapping of id to new name, pairs of image and new name, or images with ``to``.
                A list or another sized collection is planned and ordered as a whole. Any other
                iterable, sync or async, is streamed, and each item is checked by itself only.
            to: A function that takes a `SavedImage` and returns its new name.
            existing: A fresh listing. It supplies the current names of ids, and the names that are
                taken.
            options: The fields of `aioe2e.bulk.RunOptions`, such as ``limit``, ``journal`` and
                ``progress``.

        Returns:
            The report, as for `run`.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Nothing was
                sent.
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
        """Delete many images: plan and run in one call.

        Safe to call again with the same inputs, with ``missing_ok=True``.

        Args:
            images: The images, as `SavedImage` or id. A list or another sized collection is planned
                and ordered as a whole. Any other iterable, sync or async, is streamed, and each
                item is checked by itself only.
            missing_ok: Whether deleting a missing image is UNCHANGED instead of FAILED.
            force: Whether images that are in use may be deleted. It is not the command line's
                ``--force``, which skips a question.
            existing: A fresh listing, to check the images against.
            options: The fields of `aioe2e.bulk.RunOptions`, such as ``limit``, ``journal`` and
                ``progress``.

        Returns:
            The report, as for `run`.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Nothing was
                sent.
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
        """Save an image of each of many nodes: plan and run in one call.

        Not safe to call again: that makes second images. Run `Report.remaining` instead, which
        leaves out every save that may have been carried out. `Report.saved` returns the actions,
        for `wait_saved`.

        Args:
            nodes: A mapping of node id to image name, pairs of node and name, or nodes with ``to``.
                A list or another sized collection is planned and ordered as a whole. Any other
                iterable, sync or async, is streamed, and each item is checked by itself only.
            to: A function that takes the id of a node and returns the name of its image.
            existing: A fresh listing. It supplies the names that are taken.
            same_names: Whether several nodes may have images of one name. The server may refuse the
                second one.
            options: The fields of `aioe2e.bulk.RunOptions`, such as ``limit``, ``journal`` and
                ``progress``.

        Returns:
            The report, as for `run`.

        Raises:
            UsageError: Some inputs are invalid; `UsageError.problems` has all of them. Nothing was
                sent.
        """
        plan = partial(bulk.Plan.save, to=to, existing=existing, same_names=same_names)
        source = bulk.steps_or_plan(Action.SAVE, nodes, to, existing, plan)
        return await self.run(source, **options)

    async def reconcile(self, report: bulk.Report) -> bulk.Report:
        """Settle the UNKNOWN outcomes of a report to DONE if one listing confirms them.

        A rename is confirmed by the name, a delete by the image's absence, and a save by a new
        image of its name that no other save of this session can have made. All others stay UNKNOWN:
        they may still take effect. Saves by two programs under one name at the same time cannot be
        told apart, so an image of the other program may be taken for the lost one.

        Safe to call again: it changes nothing on the server.

        Args:
            report: The report of a run in this session, or of any run if it comes from a journal.

        Returns:
            A new report; the given one stays as it is. Without UNKNOWN outcomes nothing is sent.

        Raises:
            UsageError: The argument is not a `Report`.
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
        UsageError: Neither or both are given, or one of the three is missing or invalid.
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
