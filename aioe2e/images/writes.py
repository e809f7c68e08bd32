"""Save, rename and delete, as single actions and bulk steps alike carry them out."""

from __future__ import annotations

from typing import assert_never

from aioe2e._call.call import Call, Options, write_request
from aioe2e._call.channel import Core
from aioe2e._record import Trail
from aioe2e._wire.codec import save_action
from aioe2e._wire.request import Verdict
from aioe2e.bulk import Ending, Status, Step
from aioe2e.errors import NotFoundError
from aioe2e.models import Action, ActionResult, SaveAction


class Writes:
    """The actions that change something, for one view of a session.

    Ids and names were checked before.
    """

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._options = options

    async def perform(self, step: Step, trail: Trail, *, missing_ok: bool) -> Ending:
        """Carry out one step of a run; what the bulk engine is handed."""
        match step.action:
            case Action.SAVE:
                return Ending(Status.DONE, await self.save(step.target, str(step.name), trail))
            case Action.RENAME:
                return Ending(
                    Status.DONE,
                    await self.rename(step.target, str(step.name), trail, in_doubt=step.open),
                )
            case Action.DELETE:
                result, found = await self.delete(
                    step.target, trail, missing_ok=missing_ok, in_doubt=step.open
                )
                return Ending(Status.DONE if found else Status.UNCHANGED, result)
            case _:
                assert_never(step.action)

    async def save(self, node: str, name: str, trail: Trail) -> SaveAction:
        """Save an image of a node."""
        core = self._core
        ticket = core.saves.begin(name, core.clock.now())
        try:
            request = write_request(core, Action.SAVE, node, name)
            verdict = await Call(core, self._options, request, trail, ticket).run()
        except BaseException:
            if not trail.open:
                core.saves.refused(ticket)
            raise
        action = save_action(verdict.data, node, name)
        core.saves.accepted(ticket, action)
        return action

    async def rename(
        self, image: str, name: str, trail: Trail, *, in_doubt: bool = False
    ) -> ActionResult:
        """Give an image a new name."""
        verdict = await self._write(Action.RENAME, image, name, trail, in_doubt=in_doubt)
        return ActionResult(message=verdict.message)

    async def delete(
        self, image: str, trail: Trail, *, missing_ok: bool, in_doubt: bool = False
    ) -> tuple[ActionResult, bool]:
        """Delete an image; also tells whether it was there."""
        try:
            verdict = await self._write(Action.DELETE, image, "", trail, in_doubt=in_doubt)
        except NotFoundError as error:
            if not (missing_ok and error.confirmed):
                raise
            return ActionResult(message=error.message), False
        return ActionResult(message=verdict.message), True

    async def _write(
        self, action: Action, image: str, name: str, trail: Trail, *, in_doubt: bool
    ) -> Verdict:
        """Change an image; two writes of one image never overlap."""
        core = self._core
        if not core.locks.try_acquire(image):
            await core.locks.acquire(image)
        try:
            request = write_request(core, action, image, name)
            before = core.sightings.name(image)
            call = Call(core, self._options, request, trail, in_doubt=in_doubt, before=before)
            try:
                return await call.run()
            finally:
                if trail.open:
                    core.sightings.doubted(image, call.began_at)
                if action is Action.RENAME and trail.attempts:
                    core.sightings.renamed(image, name, core.clock.now())
        finally:
            core.locks.release(image)
