"""One request whose slot is held: it is sent, its reply is judged, the session learns from it."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any, Final, TypeVar

from aioe2e._actions import Repeatability
from aioe2e._clock import Clock
from aioe2e._http import InFlight, Transport
from aioe2e._record import CallRecord
from aioe2e._wire import (
    SMALL,
    Fate,
    RawReply,
    Request,
    Verdict,
    judge,
    judge_failure,
    parse,
    read_listing,
    seconds_in_headers,
)
from aioe2e.config import RetryPolicy
from aioe2e.errors import E2EError, RateLimitedError

from .channel import Channel
from .errors import closed_error, late_error
from .options import Options
from .watch import CallWatch

T = TypeVar("T")

#: Bytes of any reply that is not a listing.
_SMALL_BODY: Final = 1024 * 1024


async def exchange(
    channel: Channel,
    transport: Transport,
    options: Options,
    request: Request,
    record: CallRecord,
    in_flight: InFlight,
    *,
    sent_at: float,
    deadline: float | None,
    is_open: bool,
    watch: CallWatch | None,
) -> tuple[Verdict, RawReply | None]:
    """Send a request once and judge what comes back. Its slot, which is held, is given back.

    Args:
        channel: The session's.
        transport: Its pool.
        options: Of the view that makes the call.
        request: What to send.
        record: Of the call.
        in_flight: The request, as the channel knows it; ended here.
        sent_at: Loop time now.
        deadline: Loop time at which the call must be over.
        is_open: Whether an earlier request of the call may have been carried out.
        watch: Tells the hooks, if there are any.

    Returns:
        The verdict, and the reply that it is about; None where there was none.

    Raises:
        DeadlineExceededError: The deadline came while a large listing was read.
        BaseException: What `before_send` of the record's orders raised.
    """
    try:
        result = await _sent(channel, transport, options, request, record, in_flight, watch)
        if isinstance(result, RawReply):
            channel.read_rate_limit(result.headers)
            if record.replies is not None:
                record.replies.append(result)
            if not _is_large(request, result):
                content = channel.redactor.scrub(parse(result.body), result.body)
                verdict = _judged(channel, request, result, content)
                _adapt(channel, options.retry, verdict, sent_at)
                return verdict, result
    finally:
        # Whatever comes next, be it a cancellation: what was sent may have been carried out.
        is_write = request.repeat is not Repeatability.READ
        record.sent = record.sent or in_flight.sent
        record.open = is_open or (is_write and in_flight.sent)
        # Only now, so that no call that waits for the slot is let in before a throttle was read.
        channel.gate.leave()
    if not isinstance(result, RawReply):
        if channel.closed:
            fate = Fate.MAYBE if in_flight.sent else Fate.NOT_SENT
            return Verdict(fate, error=closed_error()), None
        return judge_failure(request, result, sent=in_flight.sent), None
    most_elements = channel.limits.max_elements
    reading = read_listing(result.body, request.model, most_elements, channel.redactor)
    content = await read_in_slices(reading, channel, request, record, deadline)
    verdict = _judged(channel, request, result, content)
    _adapt(channel, options.retry, verdict, sent_at)
    return verdict, result


async def _sent(
    channel: Channel,
    transport: Transport,
    options: Options,
    request: Request,
    record: CallRecord,
    in_flight: InFlight,
    watch: CallWatch | None,
) -> RawReply | E2EError:
    """Send the request; its reply, or the error for which there is none."""
    is_write = request.repeat is not Repeatability.READ
    most = channel.limits.max_body if request.lists else _SMALL_BODY
    try:
        if is_write and record.orders.before_send is not None:
            record.orders.before_send()
        if watch is not None:
            watch.attempt_started(request, in_flight)
        return await transport.send(request, options.context, in_flight, options.connect, most)
    finally:
        channel.in_flight.end(in_flight)


def _is_large(request: Request, reply: RawReply) -> bool:
    """Whether the reply is read in slices, with turns of the loop between them."""
    return request.lists and len(reply.body) > SMALL


async def read_in_slices(
    work: Generator[None, None, T],
    channel: Channel,
    request: Request,
    record: CallRecord,
    deadline: float | None,
) -> T:
    """Run work on a reply that yields now and then, within the time for its call.

    Raises:
        DeadlineExceededError: The time is over before the work is.
    """
    try:
        return await in_slices(work, channel.clock, deadline)
    except TimeoutError:
        pass  # raised below, where no context hangs on it
    raise late_error(request, record.last, attempts=record.attempts)


async def in_slices(work: Generator[None, None, T], clock: Clock, deadline: float | None) -> T:
    """Run work that yields now and then, with a turn of the loop at each yield.

    Args:
        work: The work.
        clock: Where the time comes from.
        deadline: Loop time after which the work is of no use; None for no limit.

    Returns:
        What the work returns.

    Raises:
        TimeoutError: The deadline has passed before the work is done.
    """
    while True:
        try:
            next(work)
        except StopIteration as stop:
            result: T = stop.value
            return result
        await asyncio.sleep(0)
        if deadline is not None and clock.now() > deadline:
            work.close()
            raise TimeoutError


def _judged(channel: Channel, request: Request, reply: RawReply, content: Any) -> Verdict:
    wait = None
    if reply.status >= 400:
        wait = seconds_in_headers(reply.headers, channel.clock.wall())
    return judge(request, reply, content, channel.redactor, wait)


def _adapt(channel: Channel, policy: RetryPolicy, verdict: Verdict, sent_at: float) -> None:
    """Let the session go slower after a throttle, and faster after anything else."""
    if not isinstance(verdict.error, RateLimitedError):
        channel.gate.succeeded()
        return
    wait = verdict.retry_after
    if wait is None:
        wait = policy.base
    channel.throttled(sent_at, min(wait, policy.max_retry_after))
