"""One call: attempts until something is certain, a look where attempts cannot tell, and one true
error at the end.

The order of things: a slot from the gate, one attempt, a verdict from `_wire`, a decision from
`_retry`. What must never happen is that a call says "done" or "failed" and the server's state says
otherwise; so once an attempt of a write may have been carried out (`in_doubt`), only a success or a
listing ends the doubt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator
from typing import Final, TypeVar

import attrs

from aioe2e._actions import Repeat
from aioe2e._fates import Fate
from aioe2e._http import ConnectTimeout, InFlight, connect_timeout
from aioe2e._record import Trail
from aioe2e._wire import (
    SMALL,
    Context,
    RawReply,
    Request,
    Verdict,
    describe,
    in_other_dialect,
    judge,
    judge_failure,
    parse,
    parse_in_slices,
    seconds_in_headers,
)
from aioe2e.config import RetryPolicy, Timeouts
from aioe2e.errors import APIError, E2EError, NotFoundError, RateLimitedError, SessionError
from aioe2e.events import AttemptEvent

from .channel import Channel, closed_error, log
from .errors import late_error, paused_error, unknown_error
from .retry import Decision, decide, delays, repeat
from .witness import Witness

T = TypeVar("T")

#: Bytes of any reply that is not a listing.
_SMALL_BODY: Final = 1024 * 1024


@attrs.frozen(eq=False, repr=False)
class Options:
    """The settings that a view may change.

    Attributes:
        timeouts: Clocks of the calls.
        retry: Attempts and delays.
        context: Which project and location are meant.
        connect: The connect timeout as the transport takes it, made once.
    """

    timeouts: Timeouts
    retry: RetryPolicy
    context: Context
    connect: ConnectTimeout = attrs.field(
        init=False,
        default=attrs.Factory(lambda self: connect_timeout(self.timeouts.connect), takes_self=True),
    )


class Call:
    """One call on its way.

    Args:
        channel: What the calls of a session share.
        options: Of the view that makes the call.
        request: What to send.
        trail: Kept up to date while the call runs.
        witness: Tells whether a write was carried out where its replies do not; None for a call
            that changes nothing, or of which nothing can be known.
        in_doubt: Whether an earlier call sent the same write and nobody knows what became of it.
    """

    # What has its default is not set for each of ten thousand calls: this is the hot path.
    _begun = False
    _switched = False
    _renewed_token = False
    _delays: Generator[float, None, None] | None = None
    _delay = 0.0
    _ended = ""
    _token = ""
    #: Loop time at which the latest request was sent.
    sent_at = 0.0
    #: The reply that was judged last.
    reply: RawReply | None = None

    def __init__(
        self,
        channel: Channel,
        options: Options,
        request: Request,
        trail: Trail,
        witness: Witness | None = None,
        *,
        in_doubt: bool = False,
    ) -> None:
        self._channel = channel
        self._options = options
        self._request = request
        self._trail = trail
        self._witness = witness
        self._in_doubt = in_doubt
        self._write = request.repeat is not Repeat.READ
        #: Loop time at which the call must be over; known once it has begun.
        self.deadline = trail.deadline

    async def run(self, *, free: bool = False) -> Verdict:
        """Carry the call out.

        Args:
            free: Whether a success leaves the retry budget alone.

        Returns:
            A verdict whose fate is DONE.

        Raises:
            E2EError: Any other end.
        """
        channel = self._channel
        self._transport = channel.enter()
        if channel.tokens.renewable:
            await self._authorize()
        verdict = await self.attempt()
        if verdict.fate is not Fate.DONE:
            if self.wants_another(verdict):
                verdict = await repeat(self)
            if verdict.fate is not Fate.DONE:
                verdict = await self._conclude(verdict)
        if not free:
            channel.budget.give_back()
        return verdict

    async def attempt(self) -> Verdict:
        """One attempt: one request, or two where the first proved to speak the wrong dialect or
        carry an old token."""
        counted = False
        while True:
            if self._channel.closed:
                return self._keep(Verdict(Fate.NOT_SENT, error=closed_error(), final=True))
            if not self._channel.gate.try_enter(under_way=self._begun):
                refused = await self._wait_for_slot()
                if refused is not None:
                    return self._keep(refused)
            self._trail.attempts += not counted
            counted = True
            verdict = await self._send()
            if verdict.fate is not Fate.DONE and await self._another_form(verdict):
                continue
            if self._switched and _speaks(verdict):
                self._learn_dialect()
            return (
                await self._weigh(verdict)
                if self._in_doubt and verdict.fate is Fate.REFUSED
                else verdict
            )

    async def _weigh(self, verdict: Verdict) -> Verdict:
        """After a maybe, a no proves nothing. If a look does not tell either, it counts as one more
        maybe."""
        channel, policy, request = self._channel, self._options.retry, self._request
        if (
            channel.closed
            or request.repeat is not Repeat.IDEMPOTENT
            or self._trail.attempts >= policy.attempts
        ):
            return verdict  # there is no further attempt to weigh it for
        proof = await self._look(once=True)
        return self._keep(proof if proof is not None else attrs.evolve(verdict, fate=Fate.MAYBE))

    async def _look(self, *, once: bool = False) -> Verdict | None:
        """What the witness, if there is one, can prove."""
        if self._witness is None:
            return None
        return await self._witness.look(self.deadline, once=once)

    async def _send(self) -> Verdict:
        """Send the request once, its slot already held, and judge what comes back."""
        channel, trail, request = self._channel, self._trail, self._request
        flight = self._start()
        try:
            if self._write and trail.before_send is not None:
                trail.before_send()
            most = channel.limits.max_body if request.lists else _SMALL_BODY
            result = await self._transport.send(
                request, self._options.context, flight, self._options.connect, most
            )
        finally:
            channel.in_flight.end(flight)
            channel.gate.leave()
            # Whatever comes next, be it a cancellation: what was sent may have been carried out.
            trail.sent = trail.sent or flight.sent
            trail.open = self._in_doubt or (self._write and flight.sent)
        if not isinstance(result, RawReply):
            verdict = self._keep(self._failed(result, flight))
            self._tell(verdict)
            return verdict
        self.reply = result
        if request.lists and len(result.body) > SMALL:
            content = await self.in_slices(parse_in_slices(result.body))
        else:
            content = parse(result.body)
        content = channel.redactor.scrub(content, result.body)
        wait = (
            seconds_in_headers(result.headers, channel.clock.wall())
            if result.status >= 400
            else None
        )
        verdict = judge(request, result, content, channel.redactor, wait)
        if verdict.fate is Fate.DONE or not self._throttled(verdict):
            channel.gate.succeeded()
        self._tell(verdict)
        return self._keep(verdict)

    def _failed(self, error: E2EError, flight: InFlight) -> Verdict:
        """The verdict on an attempt that got no reply."""
        self.reply = None
        if self._channel.closed:
            return Verdict(
                Fate.MAYBE if flight.sent else Fate.NOT_SENT, error=closed_error(), final=True
            )
        error.args = (f"{describe(self._request)}: {error}",)
        return judge_failure(error, sent=flight.sent)

    async def _another_form(self, verdict: Verdict) -> bool:
        """Whether the same attempt goes on at once: in the other dialect, or with a new token."""
        if verdict.http_status == 405 and self._switch_dialect():
            return True
        if not self._outdated(verdict):
            return False
        try:
            await self._authorize(renew=True)
        except E2EError:
            if self._in_doubt:  # then this failure is not the end of the story
                return False
            raise
        return True

    async def _authorize(self, *, renew: bool = False) -> None:
        """Have a token. The user's callable has as long as the call has; its time does not count as
        the call's."""
        channel, total = self._channel, self._options.timeouts.total
        until = self.deadline
        if not self._begun and total is not None:
            until = channel.clock.now() + total
        try:
            stale = self._token if renew else None
            self._token = await channel.bounded(
                channel.authorize(self._transport, stale=stale), until
            )
            return
        except TimeoutError:
            pass  # raised below, where no context hangs on it
        if channel.closed:
            raise closed_error()
        raise late_error(self._request, self._trail.last)

    async def _wait_for_slot(self) -> Verdict | None:
        """Wait for a slot and hold it; or say why it is of no use any more."""
        channel = self._channel
        if left := channel.gate.pause_left():
            deadline = self.deadline
            if not self._begun and self._options.timeouts.total is not None:
                total = channel.clock.now() + self._options.timeouts.total
                deadline = total if deadline is None else min(deadline, total)
            if deadline is not None and channel.clock.now() + left > deadline:
                self._ended = "the session is paused for longer than the call may take"
                return Verdict(Fate.NOT_SENT, error=paused_error(self._request, left), final=True)
        try:
            if await channel.gate.enter(under_way=self._begun, until=self.deadline):
                return None
        except SessionError:
            return Verdict(Fate.NOT_SENT, error=closed_error(), final=True)
        self._ended = "the time is over"
        return Verdict(Fate.NOT_SENT, error=late_error(self._request, self._trail.last), final=True)

    def _start(self) -> InFlight:
        """Start the clocks, now that a slot is held."""
        channel, timeouts = self._channel, self._options.timeouts
        now = self.sent_at = channel.clock.now()
        if not self._begun:
            self._begun = True
            if timeouts.total is not None and (
                self.deadline is None or self.deadline > now + timeouts.total
            ):
                self.deadline = now + timeouts.total
            if self._witness is not None:
                self._witness.sent(now)
        end = self.deadline
        if timeouts.attempt is not None and (end is None or end > now + timeouts.attempt):
            end = now + timeouts.attempt
        return channel.in_flight.begin(end, shares_loop=channel.gate.in_flight > 1)

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
            if self.deadline is not None and self._channel.clock.now() > self.deadline:
                work.close()
                break
        error = late_error(self._request, self._trail.last)
        error.attempts = self._trail.attempts
        raise error

    def _throttled(self, verdict: Verdict) -> bool:
        """Pause the session if the server asked for it."""
        error = verdict.error
        if not isinstance(error, RateLimitedError):
            return False
        wait = verdict.retry_after if verdict.retry_after is not None else self._options.retry.base
        self._channel.gate.throttled(self.sent_at, min(wait, self._options.retry.max_retry_after))
        return True

    def _keep(self, verdict: Verdict) -> Verdict:
        """Keep what an attempt came to, for whoever must account for the call."""
        trail = self._trail
        if verdict.fate is Fate.DONE:
            self._in_doubt = False
            trail.done = self._write
        else:
            if self._write and verdict.fate is Fate.MAYBE:
                self._in_doubt = True
                trail.lost_at = self._channel.clock.now()
            trail.last = verdict.error
        trail.open = self._in_doubt
        return verdict

    def _tell(self, verdict: Verdict) -> None:
        """Tell whoever listens that a request has ended."""
        channel, request = self._channel, self._request
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s: %s", request.method, request.path, verdict.fate.value)
        if channel.settings.hooks:
            channel.tell(
                AttemptEvent(
                    action=request.action,
                    target=request.target,
                    method=request.method,
                    path=request.path,
                    attempt=self._trail.attempts,
                    status=verdict.http_status,
                    fate=verdict.fate.value,
                    elapsed=channel.clock.now() - self.sent_at,
                )
            )

    def _switch_dialect(self) -> bool:
        """After a 405: take the other dialect's method, unless it was tried or an attempt may have
        been carried out."""
        request = self._request
        if not request.fallback or self._in_doubt:
            return False
        self._request = in_other_dialect(request)
        self._switched = True
        return True

    def _learn_dialect(self) -> None:
        """Remember for the session that the method which was sent last is the right one on this
        route."""
        request = self._request
        assert request.dialect is not None
        self._channel.dialects[request.route] = request.dialect

    def _outdated(self, verdict: Verdict) -> bool:
        """Whether a new token may help; asked for once a call, and it is no attempt."""
        error = verdict.error
        if (
            self._renewed_token
            or not self._channel.tokens.renewable
            or verdict.fate is not Fate.REFUSED
        ):
            return False
        self._renewed_token = isinstance(error, APIError) and error.status == 401
        return self._renewed_token

    def wants_another(self, verdict: Verdict) -> bool:
        """Whether to make another attempt; if so, a retry is taken from the budget and the delay is
        set."""
        channel, policy = self._channel, self._options.retry
        if verdict.final or channel.closed:
            return False
        if decide(verdict, self._request.repeat, in_doubt=self._in_doubt) is not Decision.RETRY:
            return False
        if self._trail.attempts >= policy.attempts:
            self._ended = (
                "given up after one attempt"
                if policy.attempts == 1
                else f"given up after {policy.attempts} attempts"
            )
            return False
        wait = verdict.retry_after or 0.0
        if wait > policy.max_retry_after:
            self._ended = f"the server asks for {wait:.0f} s, more than max_retry_after"
            return False
        if self._delays is None:
            self._delays = delays(policy)
        delay = wait + channel.clock.uniform(0.0, next(self._delays))
        if self.deadline is not None and channel.clock.now() + delay >= self.deadline:
            self._ended = "no time is left for another attempt"
            return False
        if not channel.budget.take():
            self._ended = "the session's retry budget is empty"
            return False
        self._delay = delay
        return True

    async def rest(self) -> None:
        """Sleep before the next attempt; no slot is held meanwhile."""
        await self._channel.rest(self._delay)

    async def _conclude(self, verdict: Verdict) -> Verdict:
        """The end of a call that did not simply succeed."""
        request, trail = self._request, self._trail
        if self._in_doubt:
            proof = await self._look()
            if proof is not None:
                return self._keep(proof)
            unknown = unknown_error(request, trail, verdict.error or trail.last, self._ended)
            unknown.looked = self._witness is not None and self._witness.looked
            raise unknown
        error = verdict.error
        assert error is not None
        witness = self._witness
        if verdict.missing and witness is not None and isinstance(error, NotFoundError):
            error = await witness.missing(error, self.deadline)
        elif self._is_late(verdict):
            error = late_error(self._request, error)
        elif self._ended and not verdict.final:
            error.args = (f"{error} ({self._ended})",)
        error.attempts = trail.attempts
        trail.last = error
        raise error

    def _is_late(self, verdict: Verdict) -> bool:
        """Whether it was the clock of the whole call that ended it, and not a fault or a
        refusal."""
        if (
            verdict.final
            or verdict.fate is Fate.REFUSED
            or isinstance(verdict.error, RateLimitedError)
        ):
            return False
        return self._ended == "no time is left for another attempt" and self.deadline is not None


def _speaks(verdict: Verdict) -> bool:
    """Whether the API itself answered to a method: a 404 may come from a server that does not know
    the route."""
    return verdict.fate is Fate.DONE or (
        verdict.fate is Fate.REFUSED and verdict.http_status not in (404, 405)
    )
