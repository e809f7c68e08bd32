"""Save, rename and delete, as single actions and bulk steps alike carry them out."""

from __future__ import annotations

import math

from aioe2e._actions import ACTIONS
from aioe2e._call import Call, Channel, Options
from aioe2e._record import CallRecord
from aioe2e._wire import Request, Verdict, describe, encode, save_action
from aioe2e.errors import DeadlineExceededError, NotFoundError
from aioe2e.models import Action, ActionResult, SaveAction

from .memory import ImageMemory
from .proof import OpenWrite, WriteWitness
from .write_order import guarded


class Writes:
    """The actions that change something, for one view of a session.

    Ids and names were checked before.
    """

    def __init__(self, channel: Channel, memory: ImageMemory, options: Options) -> None:
        self._channel = channel
        self._memory = memory
        self._options = options

    async def save(self, node: str, name: str, record: CallRecord) -> SaveAction:
        """Save an image of a node."""
        channel, saves, policy = self._channel, self._memory.saves, self._options.retry
        pending = saves.begin(name, channel.clock.now())
        write = OpenWrite(Action.SAVE, node, name, pending=pending)
        witness = WriteWitness(channel, self._memory, policy, write)
        request = self._encoded(Action.SAVE, node, name)
        try:
            verdict = await Call(channel, self._options, request, record, witness).run()
        except BaseException:
            if not record.open:
                saves.refused(pending)
            raise
        action = save_action(verdict.data, node, name)
        saves.accepted(pending, action, channel.clock.now())
        return action

    async def rename(
        self, image: str, name: str, record: CallRecord, *, in_doubt: bool = False
    ) -> ActionResult:
        """Rename an image."""
        verdict = await self._write(Action.RENAME, image, name, record, in_doubt=in_doubt)
        return ActionResult(message=verdict.message)

    async def delete(
        self, image: str, record: CallRecord, *, missing_ok: bool, in_doubt: bool = False
    ) -> tuple[ActionResult, bool]:
        """Delete an image; also tells whether it was there."""
        try:
            verdict = await self._write(Action.DELETE, image, "", record, in_doubt=in_doubt)
        except NotFoundError as error:
            if not (missing_ok and error.confirmed):
                raise
            return ActionResult(message=error.message), False
        return ActionResult(message=verdict.message), True

    async def _write(
        self, action: Action, image: str, name: str, record: CallRecord, *, in_doubt: bool
    ) -> Verdict:
        """Change an image; two writes of one image never overlap."""
        channel, memory = self._channel, self._memory
        await memory.locks.acquire(image)
        try:
            if channel.settings.guard is None:
                return await self._write_alone(action, image, name, record, in_doubt=in_doubt)
            async with guarded(channel, image, record.orders.deadline):
                return await self._write_alone(action, image, name, record, in_doubt=in_doubt)
        finally:
            memory.locks.release(image)

    async def _write_alone(
        self, action: Action, image: str, name: str, record: CallRecord, *, in_doubt: bool
    ) -> Verdict:
        channel, memory = self._channel, self._memory
        write = OpenWrite(action, image, name, before=memory.known.name(image))
        witness = WriteWitness(channel, memory, self._options.retry, write)
        request = self._encoded(action, image, name)
        await self._wait_for_late_writes(action, name, request, record)
        call = Call(channel, self._options, request, record, witness, in_doubt=in_doubt)
        try:
            return await call.run()
        finally:
            if record.open:
                if witness.began is not None:  # else only an earlier call has sent it
                    memory.known.left_open(image, witness.began)
                record.lost_at = channel.clock.now()
            if record.lost_at is not None:
                lag = self._options.retry.look
                memory.late_writes.lost(image, action, name, record.lost_at, lag)
            if ACTIONS[action].renames and record.attempts:
                memory.known.renamed(image, name, channel.clock.now())

    async def _wait_for_late_writes(
        self, action: Action, name: str, request: Request, record: CallRecord
    ) -> None:
        """Wait until no lost request can undo what the call is about to do. Nothing is sent before.

        Raises:
            DeadlineExceededError: The wait is longer than the call may take.
        """
        channel, options = self._channel, self._options
        settled_at = self._memory.late_writes.settled_at(
            request.target, action, name, options.retry.look
        )
        now = channel.clock.now()
        wait = settled_at - now
        if wait <= 0:
            return
        end = math.inf
        if options.timeouts.total is not None:
            end = now + options.timeouts.total
        if record.orders.deadline is not None:
            end = min(end, record.orders.deadline)
        if settled_at > end:
            raise DeadlineExceededError(
                f"{describe(request)}: nothing was sent, since an earlier request to change the "
                f"image was lost and may still take effect for {wait:.1f} s, which is longer than "
                "this call may take"
            )
        await channel.rest(wait)

    def _encoded(self, action: Action, target: str, name: str) -> Request:
        """The request, in the dialect that the session was given or has learned for it."""
        channel = self._channel
        return encode(action, target, name, channel.settings.dialect, channel.dialects)
