"""One call: attempts until something is certain, a look where attempts cannot tell, and one true error at the end.

The order of things: a slot from the gate, one attempt, a verdict from `_wire`, a decision from `_retry`. What must
never happen is that a call says "done" or "failed" and the server's state says otherwise; so once an attempt of a
write may have been carried out (`in_doubt`), only a success or a listing ends the doubt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Final, TypeVar

import attrs

from . import _retry_after
from ._codec import images_in_slices
from ._core import Core, closed_error, log
from ._json import SMALL, parse, parse_in_slices
from ._listing import Listing
from ._look import look, really_missing
from ._retry import Decision, decide, delays, repeat
from ._saves import SaveTicket
from ._trail import Trail
from ._transport import ConnectTimeout, Flight, Transport, connect_timeout
from ._wire import LIST, Fate, RawReply, Repeat, Request, Verdict, describe, judge, judge_failure
from .config import RetryPolicy, Timeouts
from .errors import (
    APIError,
    DeadlineExceededError,
    E2EError,
    NotFoundError,
    OutcomeUnknownError,
    RateLimitedError,
    SessionError,
)
from .events import AttemptEvent

T = TypeVar("T")

#: Bytes of any reply that is not a listing.
_SMALL_BODY: Final = 1024 * 1024

#: What to do when nobody can say what became of a write.
_ADVICE = {
    "rename": "list the images to see; sending the same rename again does no harm",
    "delete": "list the images to see; sending the delete again does no harm",
    "save": "list the images before anything else: saving again may make a second image",
    "request": "read its state before sending it again",
}


@attrs.frozen
class Options:
    """The settings that a view may change.

    Attributes:
        timeouts: Clocks of the calls.
        retry: Attempts and delays.
        connect: The connect timeout as the transport takes it, made once.
    """

    timeouts: Timeouts
    retry: RetryPolicy
    connect: ConnectTimeout = attrs.field(
        init=False, default=attrs.Factory(lambda self: connect_timeout(self.timeouts.connect), takes_self=True)
    )


class Call:
    """One call on its way.

    Args:
        core: The session's shared parts.
        options: Of the view that makes the call.
        request: What to send.
        trail: Kept up to date while the call runs.
        ticket: The save that this is, if it is one.
        in_doubt: Whether an earlier call sent the same write and nobody knows what became of it.
    """

    def __init__(
        self,
        core: Core,
        options: Options,
        request: Request,
        trail: Trail,
        ticket: SaveTicket | None = None,
        *,
        in_doubt: bool = False,
    ) -> None:
        self._core = core
        self._options = options
        self._policy = options.retry
        self._request = request
        self._trail = trail
        self._ticket = ticket
        self._write = request.repeat is not Repeat.READ
        self._begun = False
        self._in_doubt = in_doubt
        self._switched = False
        self._renewed_token = False
        self._delays: Generator[float, None, None] | None = None
        self._delay = 0.0
        self._ended = ""
        #: Loop time at which the latest request was sent.
        self.sent_at = 0.0
        #: Loop time at which the call must be over; known once it has begun.
        self.deadline = trail.deadline
        #: The reply that was judged last.
        self.reply: RawReply | None = None

    async def run(self, *, free: bool = False) -> Verdict:
        """Carry the call out.

        Args:
            free: Whether a success leaves the retry budget alone.

        Returns:
            A verdict whose fate is DONE.

        Raises:
            E2EError: Any other end.
        """
        verdict = await self.attempt()
        if verdict.fate is not Fate.DONE:
            if self.wants_another(verdict):
                verdict = await repeat(self)
            if verdict.fate is not Fate.DONE:
                verdict = await self._conclude(verdict)
        if not free:
            self._core.budget.give_back()
        return verdict

    async def attempt(self) -> Verdict:
        """One attempt: one request, or two where the first proved to speak the wrong dialect or carry an old token."""
        core, trail = self._core, self._trail
        transport = core.enter()
        token = await self._token(transport) if core.tokens.renewable else ""
        trail.attempts += 1
        while True:
            refused = await self._take_slot()
            if refused is not None:
                trail.attempts -= 1
                return self._note(refused)
            flight = self._start()
            core.flights.add(flight)
            try:
                if self._write and trail.before_send is not None:
                    trail.before_send()
                result = await transport.send(self._request, flight, self._options.connect, self._max_body())
            except BaseException:
                trail.open = self._in_doubt or (self._write and flight.sent)
                raise
            finally:
                core.flights.discard(flight)
                core.gate.leave()
            trail.open = self._in_doubt or (self._write and flight.sent)
            verdict = self._note(await self._judge(result, flight))
            if verdict.http_status == 405 and self._switch_dialect():
                continue
            if self._outdated(verdict):
                token = await self._token(transport, stale=token)
                continue
            if self._switched and verdict.http_status not in (None, 405):
                core.other_dialect.add(self._request.action)
            return verdict

    async def _token(self, transport: Transport, *, stale: str | None = None) -> str:
        """The user's callable has as long as the call has; its time does not count as the call's."""
        try:
            async with asyncio.timeout(self._options.timeouts.total):
                return await self._core.authorize(transport, stale=stale)
        except TimeoutError:
            pass  # raised below, where no context hangs on it
        raise self._late_error()

    def _max_body(self) -> int:
        return self._core.limits.max_body if self._request.action == "list" else _SMALL_BODY

    async def _take_slot(self) -> Verdict | None:
        """Wait for a slot and hold it; or say why it is of no use any more."""
        core = self._core
        if left := core.gate.pause_left():
            deadline = self.deadline
            if not self._begun and self._options.timeouts.total is not None:
                total = core.clock.now() + self._options.timeouts.total
                deadline = total if deadline is None else min(deadline, total)
            if deadline is not None and core.clock.now() + left > deadline:
                self._ended = "the session is paused for longer than the call may take"
                return Verdict(Fate.NOT_SENT, error=self._paused_error(left), final=True)
        try:
            if await core.gate.enter(under_way=self._begun, until=self.deadline):
                return None
        except SessionError:
            return Verdict(Fate.NOT_SENT, error=closed_error(), final=True)
        self._ended = "the time is over"
        return Verdict(Fate.NOT_SENT, error=self._late_error(), final=True)

    def _paused_error(self, left: float) -> E2EError:
        text = f"{describe(self._request)}: the server throttled the session, which is paused for {left:.1f} s"
        return RateLimitedError(text, status=429, retry_after=left, action=self._request.action)

    def _late_error(self, last: E2EError | None = None) -> E2EError:
        last = last or self._trail.last
        because = f" (last: {last})" if last is not None else ""
        return DeadlineExceededError(f"{describe(self._request)}: not done in time{because}", last=last)

    def _start(self) -> Flight:
        """Start the clocks, now that a slot is held."""
        core, timeouts = self._core, self._options.timeouts
        now = self.sent_at = core.clock.now()
        if not self._begun:
            self._begun = True
            if timeouts.total is not None:
                self.deadline = (
                    now + timeouts.total if self.deadline is None else min(self.deadline, now + timeouts.total)
                )
            if self._ticket is not None:
                self._ticket.sent_at = now
        end = self.deadline
        if timeouts.attempt is not None:
            end = now + timeouts.attempt if end is None else min(end, now + timeouts.attempt)
        return Flight(asyncio.timeout_at(end))

    async def _judge(self, result: RawReply | E2EError, flight: Flight) -> Verdict:
        core, request = self._core, self._request
        if isinstance(result, RawReply):
            self.reply = result
            wait = _retry_after.seconds(result.headers, core.clock.wall()) if result.status >= 400 else None
            verdict = judge(request, result, await self._content(result.body), core.redactor, wait)
            if not self._throttled(verdict):
                core.gate.succeeded()
        elif core.closed:
            verdict = Verdict(Fate.MAYBE if flight.sent else Fate.NOT_SENT, error=closed_error(), final=True)
        else:
            self.reply = None
            result.args = (f"{describe(request)}: {result}",)
            verdict = judge_failure(result, sent=flight.sent)
        if core.settings.hooks:
            core.tell(
                AttemptEvent(
                    action=request.action,
                    target=request.target,
                    method=request.method,
                    path=request.path,
                    attempt=self._trail.attempts,
                    status=verdict.http_status,
                    fate=verdict.fate.value,
                    elapsed=core.clock.now() - self.sent_at,
                )
            )
        log.debug("%s %s: %s", request.method, request.path, verdict.fate.value)
        return verdict

    async def _content(self, body: bytes) -> object:
        if len(body) <= SMALL or self._write:
            return parse(body)
        return await self.in_slices(parse_in_slices(body))

    async def in_slices(self, work: Generator[None, None, T]) -> T:
        """Run work that yields now and then, letting others run meanwhile.

        Raises:
            DeadlineExceededError: The call's time is over before the work is.
        """
        while True:
            try:
                next(work)
            except StopIteration as stop:
                value: T = stop.value
                return value
            await asyncio.sleep(0)
            if self.deadline is not None and self._core.clock.now() > self.deadline:
                work.close()
                break
        error = self._late_error()
        error.attempts = self._trail.attempts
        raise error

    def _throttled(self, verdict: Verdict) -> bool:
        """Pause the session if the server asked for it."""
        error = verdict.error
        if not isinstance(error, APIError) or error.status != 429:
            return False
        wait = verdict.retry_after if verdict.retry_after is not None else self._policy.base
        self._core.gate.throttled(self.sent_at, min(wait, self._policy.max_retry_after))
        return True

    def _note(self, verdict: Verdict) -> Verdict:
        """Keep what an attempt came to, for whoever must account for the call."""
        trail = self._trail
        if verdict.fate is Fate.DONE:
            self._in_doubt = False
        elif self._write and verdict.fate is Fate.MAYBE:
            self._in_doubt = True
        trail.open = self._in_doubt
        if verdict.error is not None:
            trail.last = verdict.error
        return verdict

    def _switch_dialect(self) -> bool:
        """After a 405: take the other dialect's method, unless it was tried or an attempt may have been carried out."""
        request = self._request
        if request.fallback is None or self._in_doubt:
            return False
        self._request = request.fallback
        self._switched = True
        return True

    def _outdated(self, verdict: Verdict) -> bool:
        """Whether a new token may help; asked for once a call, and it is no attempt."""
        error = verdict.error
        if self._renewed_token or not self._core.tokens.renewable or verdict.fate is not Fate.REFUSED:
            return False
        self._renewed_token = isinstance(error, APIError) and error.status == 401
        return self._renewed_token

    def wants_another(self, verdict: Verdict) -> bool:
        """Whether to make another attempt; if so, a retry is taken from the budget and the delay is set."""
        core, policy = self._core, self._policy
        if verdict.final or core.closed:
            return False
        if decide(verdict, self._request.repeat, in_doubt=self._in_doubt) is not Decision.RETRY:
            return False
        if self._trail.attempts >= policy.attempts:
            self._ended = f"given up after {self._trail.attempts} attempts"
            return False
        wait = verdict.retry_after or 0.0
        if wait > policy.max_retry_after:
            self._ended = f"the server asks for {wait:.0f} s, more than max_retry_after"
            return False
        if self._delays is None:
            self._delays = delays(policy)
        delay = wait + core.clock.uniform(0.0, next(self._delays))
        if self.deadline is not None and core.clock.now() + delay >= self.deadline:
            self._ended = "no time is left for another attempt"
            return False
        if not core.budget.take():
            self._ended = "the session's retry budget is empty"
            return False
        self._delay = delay
        return True

    async def rest(self) -> None:
        """Sleep before the next attempt; no slot is held meanwhile."""
        await self._core.rest(self._delay)

    async def _conclude(self, verdict: Verdict) -> Verdict:
        """The end of a call that did not simply succeed."""
        core, request, trail = self._core, self._request, self._trail
        if self._in_doubt:
            proof = None if core.closed else await look(core, self._policy, request, self._ticket, self.deadline)
            if proof is not None:
                self._in_doubt = trail.open = False
                return proof
            raise self._unknown(verdict)
        error = verdict.error
        assert error is not None
        if verdict.missing and request.action == "delete" and isinstance(error, NotFoundError):
            error = await really_missing(core, self._policy, error, request.target, self.deadline)
        elif self._is_late(verdict):
            error = self._late_error(error)
        elif self._ended and not verdict.final:
            error.args = (f"{error} ({self._ended})",)
        error.attempts = trail.attempts
        trail.last = error
        raise error

    def _is_late(self, verdict: Verdict) -> bool:
        """Whether it was the clock of the whole call that ended it, and not a fault or a refusal."""
        if verdict.final or verdict.fate is Fate.REFUSED or isinstance(verdict.error, RateLimitedError):
            return False
        return self._ended == "no time is left for another attempt" and self.deadline is not None

    def _unknown(self, verdict: Verdict) -> OutcomeUnknownError:
        request, trail = self._request, self._trail
        last = verdict.error or trail.last
        times = "once" if trail.attempts == 1 else f"{trail.attempts} times"
        wanted = f" to {request.name!r}" if request.action == "rename" else ""
        ended = f"; {self._ended}" if self._ended else ""
        said = str(last).removeprefix(f"{describe(request)}: ")
        text = (
            f"{describe(request)}{wanted}: sent {times}, and nobody can say whether it was carried out "
            f"(last: {said}{ended}). What to do: {_ADVICE[request.action]}."
        )
        return OutcomeUnknownError(
            text, action=request.action, target=request.target, attempts=trail.attempts, last=last
        )


def write_request(core: Core, request: Request) -> Request:
    """The request in the dialect that the session has learned for this action."""
    if request.fallback is not None and request.action in core.other_dialect:
        return request.fallback
    return request


async def list_images(core: Core, options: Options, trail: Trail) -> Listing:
    """List all saved images, with all retries."""
    call = Call(core, options, LIST, trail)
    verdict = await call.run()
    return await _listing_of(core, call, verdict)


async def fetch_listing(core: Core, options: Options, until: float | None) -> Listing:
    """List all saved images in one attempt that costs no retry: for looks and waits."""
    once = Options(options.timeouts, attrs.evolve(options.retry, attempts=1))
    call = Call(core, once, LIST, Trail(deadline=until))
    verdict = await call.run(free=True)
    return await _listing_of(core, call, verdict)


async def _listing_of(core: Core, call: Call, verdict: Verdict) -> Listing:
    received = core.clock.now()
    images = await call.in_slices(images_in_slices(verdict.data))
    date = None if call.reply is None else _retry_after.server_time(call.reply.headers)
    listing = Listing(images, call.sent_at, received, date)
    core.saves.saw(listing)
    return listing
