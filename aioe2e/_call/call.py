"""One call: attempts until something is certain, and one true error where nothing is.

The order of things: a slot, one request, a verdict on its reply, a decision. A call must never say
"done" or "failed" while the server's state says otherwise. So once a request of a write may have
been carried out, the call is *open*: only a success or a proof of its witness closes it, and where
there is neither the error says that the outcome is unknown.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Iterator
from typing import TypeVar

from aioe2e._actions import Repeatability
from aioe2e._http import InFlight, Transport
from aioe2e._record import CallRecord
from aioe2e._wire import Fate, RawReply, Request, Verdict, in_next_dialect
from aioe2e.errors import (
    APIError,
    ConfigError,
    E2EError,
    NotFoundError,
    RateLimitedError,
    SessionError,
    extended,
)

from .attempt import exchange, read_in_slices
from .channel import Channel, log
from .errors import Stop, closed_error, late_error, paused_error, stop_text, unknown_error
from .options import Options, Witness
from .retry import Decision, decide, delays
from .watch import CallWatch, log_attempt, log_retry, log_unknown, next_number

T = TypeVar("T")

#: After these the error says by itself why nothing more was sent.
_SELF_EXPLAINING = frozenset({Stop.CLOSED, Stop.PAUSED, Stop.NO_SLOT, Stop.LIMITER})


class Call:
    """One call on its way. It is run once.

    Args:
        channel: What the calls of a session share.
        options: Of the view that makes the call.
        request: What to send.
        record: Kept up to date while the call runs.
        witness: Tells whether a write was carried out where its replies do not; None for a call
            that changes nothing, or of which nothing can be known.
        in_doubt: Whether an earlier call sent the same write, and it is not known whether that was
            carried out.

    Attributes:
        deadline: Loop time at which the call must be over. Until the first request is sent it is
            that of the record's orders; the first request sets it.
        sent_at: Loop time at which the latest request was sent. Each request sets it.
    """

    __slots__ = (
        "_begun",
        "_channel",
        "_is_open",
        "_is_write",
        "_number",
        "_options",
        "_record",
        "_renewed_token",
        "_request",
        "_stop",
        "_switched",
        "_token",
        "_transport",
        "_watch",
        "_witness",
        "deadline",
        "sent_at",
    )

    _transport: Transport

    def __init__(
        self,
        channel: Channel,
        options: Options,
        request: Request,
        record: CallRecord,
        witness: Witness | None = None,
        *,
        in_doubt: bool = False,
    ) -> None:
        self._channel = channel
        self._options = options
        self._request = request
        self._record = record
        self._witness = witness
        self._is_write = request.repeat is not Repeatability.READ
        #: Whether a request may have been carried out. `_note` sets it.
        self._is_open = in_doubt
        #: Whether a request was sent. `_start` sets it.
        self._begun = False
        #: Whether another dialect was taken, and a new token. `_resend_at_once` sets them.
        self._switched = False
        self._renewed_token = False
        #: The number of the token in use, if there may be another one. `_authorize` sets it.
        self._token = 0
        #: Tells the hooks, if there are any. `_run_watched` sets it.
        self._watch: CallWatch | None = None
        #: See `number`.
        self._number = 0
        #: Why nothing could be sent. `_not_sent` sets it.
        self._stop: Stop | None = None
        self.deadline: float | None = record.orders.deadline
        self.sent_at: float = 0.0

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
        if channel.settings.hooks and self._watch is None:
            return await self._run_watched(free=free)
        self._transport = channel.enter()
        if channel.tokens.renewable:
            await self._authorize()
        verdict = await self.attempt()
        if verdict.error is not None:
            verdict = await self._finish(verdict)
        if not free:
            channel.budget.give_back()
        return verdict

    async def _run_watched(self, *, free: bool) -> Verdict:
        """Carry the call out, and tell the hooks that it begins and ends."""
        self._watch = CallWatch(self._channel, self._request, self._record, self.number)
        with self._watch:
            return await self.run(free=free)

    @property
    def number(self) -> int:
        """The call's number in logs and events; no other call of the process has it."""
        if not self._number:
            self._number = next_number()
        return self._number

    async def in_slices(self, work: Generator[None, None, T]) -> T:
        """Run work on the reply that yields now and then, within the time for the call.

        Raises:
            DeadlineExceededError: The time is over before the work is.
        """
        return await read_in_slices(work, self._channel, self._request, self._record, self.deadline)

    async def attempt(self) -> Verdict:
        """One attempt: a request, and at once a second one where the first had the wrong form."""
        verdict = await self._send()
        while verdict.error is not None and await self._resend_at_once(verdict):
            verdict = await self._send(is_resent=True)
        if self._switched and _proves_dialect(verdict):
            self._learn_dialect()
        if self._is_open and verdict.fate is Fate.REFUSED:
            verdict = await self._verify_refusal(verdict)
        return verdict

    async def _send(self, *, is_resent: bool = False) -> Verdict:
        """Wait for a slot, send the request once, and write down what is known then."""
        channel = self._channel
        if channel.closed:
            return self._not_sent(Stop.CLOSED, closed_error())
        if not channel.entrance.try_enter(under_way=self._begun):
            end = await self._wait_for_slot()
            if end is not None:
                return self._not_sent(*end)
        if not is_resent:
            self._record.attempts += 1
        in_flight = self._start()
        verdict, reply = await exchange(
            channel,
            self._transport,
            self._options,
            self._request,
            self._record,
            in_flight,
            sent_at=self.sent_at,
            deadline=self.deadline,
            is_open=self._is_open,
            watch=self._watch,
        )
        self._note(verdict)
        self._emit(verdict, reply)
        return verdict

    # Before a request

    async def _authorize(self, *, renew: bool = False) -> None:
        """Have a token.

        The user's callable has as long as the call has; its time does not count as the call's.
        """
        channel = self._channel
        stale = self._token if renew else None
        try:
            getting = channel.authorize(self._transport, stale=stale)
            self._token = await channel.bounded(getting, self._end_from_now())
            return
        except TimeoutError:
            pass  # raised below, where no context hangs on it
        if channel.closed:
            raise closed_error()
        raise late_error(self._request, self._record.last)

    def _end_from_now(self) -> float | None:
        """Loop time at which the call would have to be over if its clock started now."""
        total = self._options.timeouts.total
        if self._begun or total is None:
            return self.deadline
        return _earlier(self.deadline, self._channel.clock.now() + total)

    async def _wait_for_slot(self) -> tuple[Stop, E2EError] | None:
        """Wait for a slot and hold it; or say why that is of no use any more."""
        channel, request = self._channel, self._request
        pause = channel.gate.pause_left()
        if pause:
            end = self._end_from_now()
            if end is not None and channel.clock.now() + pause > end:
                return Stop.PAUSED, paused_error(request, pause)
        try:
            has_slot = await channel.entrance.enter(under_way=self._begun, until=self.deadline)
        except SessionError:
            return Stop.CLOSED, closed_error()
        except ConfigError as error:
            return Stop.LIMITER, error
        if has_slot and not channel.closed:
            return None
        if has_slot:  # it was given in the moment in which the session was closed
            channel.gate.leave()
        if channel.closed:
            return Stop.CLOSED, closed_error()
        return Stop.NO_SLOT, late_error(request, self._record.last)

    def _not_sent(self, stop: Stop, error: E2EError) -> Verdict:
        """The verdict where no request could be sent any more."""
        self._stop = stop
        return self._note(Verdict(Fate.NOT_SENT, error=error))

    def _start(self) -> InFlight:
        """Start the clocks, now that a slot is held."""
        channel, timeouts = self._channel, self._options.timeouts
        now = self.sent_at = channel.clock.now()
        if not self._begun:
            self._begun = True
            if timeouts.total is not None:
                self.deadline = _earlier(self.deadline, now + timeouts.total)
            if self._witness is not None:
                self._witness.sent(now)
        end = self.deadline
        if timeouts.attempt is not None:
            end = _earlier(end, now + timeouts.attempt)
        return channel.in_flight.begin(
            end, deadline=self.deadline, shares_loop=channel.gate.in_flight > 1
        )

    # After a request

    def _note(self, verdict: Verdict) -> Verdict:
        """Write down what is known now, and return the verdict."""
        record = self._record
        if verdict.fate is Fate.DONE:
            self._is_open = False
            record.done = self._is_write
        else:
            if verdict.fate is Fate.MAYBE and self._is_write:
                self._is_open = True
                record.lost_at = self._channel.clock.now()
            record.last = verdict.error
        record.open = self._is_open
        return verdict

    def _emit(self, verdict: Verdict, reply: RawReply | None) -> None:
        """Tell the log and the hooks that a request has ended."""
        if log.isEnabledFor(logging.DEBUG):
            elapsed = self._channel.clock.now() - self.sent_at
            log_attempt(self._request, self.number, self._record.attempts, verdict, elapsed)
        if self._watch is not None:
            self._watch.attempt_ended(verdict, reply)

    async def _resend_at_once(self, verdict: Verdict) -> bool:
        """Whether the attempt goes on at once: in another dialect, or with a new token."""
        if verdict.http_status == 405 and self._request.fallbacks and not self._is_open:
            self._request = in_next_dialect(self._request)
            self._switched = True
            return True
        if self._renewed_token or not self._token_expired(verdict):
            return False
        self._renewed_token = True
        try:
            await self._authorize(renew=True)
            return True
        except E2EError as failure:
            error = extended(failure, "", attempts=self._record.attempts)
        if self._is_open:  # then this failure does not tell how the call ends
            return False
        raise error

    def _token_expired(self, verdict: Verdict) -> bool:
        """Whether a new token may help."""
        if not self._channel.tokens.renewable or verdict.fate is not Fate.REFUSED:
            return False
        return isinstance(verdict.error, APIError) and verdict.error.status == 401

    def _learn_dialect(self) -> None:
        """Remember for the session which dialect is the right one on this route."""
        request = self._request
        assert request.dialect is not None
        self._channel.dialects[request.route] = request.dialect

    async def _verify_refusal(self, verdict: Verdict) -> Verdict:
        """Weigh a refusal that came after an attempt which may have been carried out.

        It proves nothing by itself: the image may be missing because that attempt deleted it. If
        no proof is found, the refusal counts as one more attempt that may have been carried out.
        """
        is_last = self._record.attempts >= self._options.retry.attempts
        may_be_repeated = self._request.repeat is Repeatability.IDEMPOTENT
        if self._channel.closed or is_last or not may_be_repeated:
            return verdict  # there is no further attempt to weigh it for
        proof = await self._look(once=True)
        if proof is None:
            proof = copy.copy(verdict)
            proof.fate = Fate.MAYBE
        return self._note(proof)

    async def _look(self, *, once: bool = False) -> Verdict | None:
        """What the witness, if there is one, can prove."""
        if self._witness is None:
            return None
        if self._watch is not None:
            self._watch.asked_listing = True
        return await self._witness.look(self.deadline, once=once)

    # After an attempt that did not succeed

    async def _finish(self, verdict: Verdict) -> Verdict:
        """Attempt again as long as that is allowed and may help, then conclude."""
        pauses = delays(self._options.retry)
        while verdict.fate is not Fate.DONE:
            pause = self._pause_after(verdict, pauses)
            if isinstance(pause, Stop):
                return await self._conclude(verdict, pause)
            self._announce_retry(verdict, pause)
            await self._channel.rest(pause)
            verdict = await self.attempt()
        return verdict

    def _pause_after(self, verdict: Verdict, pauses: Iterator[float]) -> float | Stop:
        """Seconds to rest before the next attempt, which is paid for; or why there is none."""
        stop = self._stop or self._reason_to_stop(verdict)
        if stop is not None:
            return stop
        channel, policy = self._channel, self._options.retry
        wait = verdict.retry_after or 0.0
        if wait > policy.max_retry_after:
            return Stop.LONG_WAIT
        pause = wait + next(pauses)
        if self.deadline is not None and channel.clock.now() + pause >= self.deadline:
            return Stop.NO_TIME
        if not channel.budget.take():
            channel.warn_of_retry_budget()
            return Stop.NO_BUDGET
        return pause

    def _reason_to_stop(self, verdict: Verdict) -> Stop | None:
        """Why there is no further attempt, whatever time and budget are left; None if there is."""
        if self._channel.closed:
            return Stop.CLOSED
        if isinstance(verdict.error, SessionError):
            # A bug in the program, which a second attempt would only meet again.
            return Stop.DECIDED
        decision = decide(verdict, self._request.repeat, in_doubt=self._is_open)
        if decision is not Decision.RETRY:
            return Stop.DECIDED
        if self._record.attempts >= self._options.retry.attempts:
            return Stop.ATTEMPTS
        return None

    def _announce_retry(self, verdict: Verdict, pause: float) -> None:
        """Tell the log and the hooks that there will be another attempt."""
        if log.isEnabledFor(logging.INFO):
            log_retry(self._request, self.number, self._record.attempts, verdict, pause)
        if self._watch is not None:
            self._watch.retry_scheduled(verdict, pause)

    async def _conclude(self, verdict: Verdict, stop: Stop) -> Verdict:
        """The end of a call without a success: a proof that it was one, or the error."""
        record = self._record
        why = stop_text(stop, self._options.retry, verdict)
        if self._is_open:
            proof = await self._look()
            if proof is not None:
                return self._note(proof)
            last = verdict.error or record.last
            looked = self._witness is not None and self._witness.looked
            unknown = unknown_error(self._request, record, last, why, looked=looked)
            log_unknown(self._request, self.number, unknown)
            raise unknown
        record.last = await self._error(verdict, stop, why)
        raise record.last

    async def _error(self, verdict: Verdict, stop: Stop, why: str) -> E2EError:
        """The error of a call that was not carried out."""
        error, attempts = verdict.error, self._record.attempts
        assert error is not None
        if verdict.missing and self._witness is not None and isinstance(error, NotFoundError):
            if self._watch is not None:
                self._watch.asked_listing = True
            error = await self._witness.missing(error, self.deadline)
            return extended(error, "", attempts=attempts)
        is_throttled = isinstance(error, RateLimitedError)
        if stop is Stop.NO_TIME and not is_throttled:
            return late_error(self._request, error, attempts=attempts)
        if not why or stop in _SELF_EXPLAINING:
            return extended(error, "", attempts=attempts)
        return extended(error, f" ({why})", attempts=attempts)


def _earlier(deadline: float | None, moment: float) -> float:
    if deadline is None or deadline > moment:
        return moment
    return deadline


def _proves_dialect(verdict: Verdict) -> bool:
    """Whether the API itself answered to a method.

    A 404 may come from a server that does not know the route.
    """
    if verdict.fate is Fate.DONE:
        return True
    return verdict.fate is Fate.REFUSED and verdict.http_status not in (404, 405)
