"""The public API as mypy and pyright must see it. Never run: a type checker in strict mode is the test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, assert_type

import aiohttp

import aioe2e
from aioe2e import (
    Action,
    ActionResult,
    APIError,
    AttemptEvent,
    BulkError,
    CallEvent,
    Check,
    ConflictError,
    Credentials,
    Dialect,
    E2EError,
    Event,
    FieldReport,
    Guard,
    Images,
    ImageState,
    Limiter,
    Limits,
    Node,
    Nodes,
    NodeState,
    NotFoundError,
    Outcome,
    OutcomeUnknownError,
    PauseEvent,
    Plan,
    Progress,
    RateLimitedError,
    Reply,
    Report,
    ResponseError,
    RetryPolicy,
    RetryScheduled,
    SaveAction,
    SavedImage,
    Session,
    SkippedError,
    Status,
    Step,
    Stream,
    Timeouts,
    TransportError,
    UsageError,
    WaitProgress,
    select,
)


async def fresh_token() -> str:
    return "token"


def hook(event: AttemptEvent | PauseEvent) -> None:
    if isinstance(event, AttemptEvent):
        assert_type(event.status, int | None)
    else:
        assert_type(event.seconds, float)


class Turnstile:
    async def acquire(self, weight: int = 1) -> None:
        """Any limiter has this method, and the next one."""

    def throttled(self, seconds: float) -> None:
        """Told of a pause."""


def any_hook(event: Event) -> None:
    if isinstance(event, RetryScheduled):
        assert_type(event.delay, float)
    elif isinstance(event, CallEvent):
        assert_type(event.attempts, int)


async def fleets(credentials: Credentials, guard: Guard) -> None:
    limiter: Limiter = Turnstile()
    Session(credentials, limiter=limiter, guard=guard, hooks=[any_hook])
    async with guard.hold("2292"):
        await limiter.acquire()


async def sessions(http: aiohttp.ClientSession) -> None:
    Credentials(api_key="key-of-mine", auth_token="token-of-mine")
    credentials = Credentials(api_key="key-of-mine", auth_token=fresh_token)
    session = Session(
        credentials,
        project_id=5,
        location="Delhi",
        base_url="https://example.com",
        http=http,
        timeouts=Timeouts(attempt=1, total=None, connect=0.5),
        retry=RetryPolicy(attempts=2, base=0.1, cap=1, max_retry_after=5, look=0),
        limits=Limits(in_flight=4, per_second=None, adaptive=False, max_body=4096, retry_budget=0),
        dialect=Dialect.AUTO,
        hooks=[hook],
        user_agent="mine/1",
        trust_env=False,
        ssl="ca.pem",
    )
    assert_type(Session.from_env(location="Chennai"), Session)
    assert_type(Session.from_profile("work", project_id="7"), Session)
    assert_type(session.with_options(timeouts=Timeouts(), retry=RetryPolicy.none()), Session)
    assert_type(session.images, Images)
    assert_type(session.nodes, Nodes)
    assert_type(await session.check(), Check)
    report = await session.field_report(5, writes=True, tell=print)
    assert_type(FieldReport.from_dict(report.to_dict()), FieldReport)
    assert_type(Session.discover("work").ok, bool)
    assert_type(session.at(location="Chennai", project_id=7), Session)
    assert_type(session.closed, bool)
    async with session as entered:
        assert_type(entered, Session)
        reply = await entered.request(
            "GET", "nodes/", query={"page_no": 1, "per_page": "5"}, json={"a": 1}, repeatable=True
        )
        assert_type(reply, Reply)
        assert_type((reply.status, reply.message, reply.attempts), tuple[int, str, int])
        assert_type((reply.headers, reply.request_id), tuple[Mapping[str, str], str | None])
    await session.close()


async def single(images: Images, image: SavedImage) -> None:
    assert_type(await images.list(), list[SavedImage])
    assert_type(await images.list(select.not_in_use() & select.older_than("30d")), list[SavedImage])
    assert_type(await images.list(lambda one: one.name.startswith("ci-")), list[SavedImage])
    assert_type(await images.get("5"), SavedImage)
    assert_type(await images.by_name("golden"), SavedImage)
    action = await images.save(5, "nightly")
    assert_type(action, SaveAction)
    assert_type(await images.rename(image, "golden"), ActionResult)
    assert_type(await images.delete(5, missing_ok=True), ActionResult)
    assert_type(await images.wait("5", ImageState.READY, timeout=None, interval=1), SavedImage)
    assert_type(await images.wait_saved(action, timeout=60), SavedImage)
    moment = datetime.now(UTC)
    assert_type(await images.wait_saved(node=1, name="n", since=moment), SavedImage)
    await images.wait_gone(image, timeout=1.5, interval=0.5)


async def nodes(session: Session) -> None:
    def told(now: WaitProgress) -> None:
        assert_type((now.elapsed, now.next_look), tuple[float, float])
        assert_type(now.state, ImageState | NodeState | None)

    found = await session.nodes.list(lambda node: node.state is NodeState.RUNNING)
    assert_type(found, list[Node])
    node = await session.nodes.get(found[0])
    assert_type(node, Node)
    assert_type(await session.nodes.wait(node, NodeState.RUNNING, 60, 1, told), Node)
    assert_type((node.node_id, node.name, node.status, node.state), tuple[str, str, str, NodeState])
    assert_type(
        (node.public_ip, node.vm_id, node.is_locked), tuple[str | None, str | None, bool | None]
    )
    assert_type(await session.images.save(node, "nightly"), SaveAction)
    Plan.save({node: "nightly"})
    Plan.save([(node, "nightly")])


def as_json(image: SavedImage, action: SaveAction, result: ActionResult, node: Node) -> None:
    assert_type(image.to_dict(), dict[str, Any])
    assert_type(SavedImage.from_dict(image.to_dict()), SavedImage)
    assert_type(SaveAction.from_dict(action.to_dict()), SaveAction)
    assert_type(ActionResult.from_dict(result.to_dict()), ActionResult)
    assert_type(Node.from_dict(node.to_dict()), Node)


def models(image: SavedImage, action: SaveAction, result: ActionResult) -> None:
    assert_type((image.image_id, image.name, image.image_state), tuple[str, str, str])
    assert_type(image.state, ImageState)
    assert_type(image.creation_time, datetime | None)
    assert_type((image.image_size, image.size_gb), tuple[str | None, float | None])
    assert_type((image.os_distribution, image.distro), tuple[str | None, str | None])
    assert_type((image.template_id, image.running_vms), tuple[int | None, int])
    assert_type((image.vm_info, image.is_windows), tuple[tuple[Any, ...], bool | None])
    assert_type((image.cloning_ops, image.scaler_group_count), tuple[int, int])
    assert_type((image.in_use, image.project_name), tuple[bool, str | None])
    assert_type(image.extra, Mapping[str, Any])
    assert_type(
        (action.action_id, action.image_id, action.status), tuple[str | None, str | None, str]
    )
    assert_type((action.created_at, result.message), tuple[datetime | None, str])


async def ids() -> AsyncIterator[str]:
    yield "5"


async def bulk(images: Images, found: list[SavedImage], path: os.PathLike[str]) -> None:
    def shown(progress: Progress) -> None:
        assert_type(
            (progress.total, progress.finished, progress.failed), tuple[int | None, int, int]
        )
        assert_type((progress.in_flight, progress.limit, progress.rate), tuple[int, int, float])
        assert_type((progress.paused, progress.eta), tuple[bool, float | None])

    assert_type(await images.bulk_rename({"5": "a"}, limit=4), Report)
    assert_type(await images.bulk_rename([("5", "a"), ("6", "b")]), Report)
    assert_type(
        await images.bulk_rename(found, to=lambda image: f"{image.name}-old", existing=found),
        Report,
    )
    assert_type(
        await images.bulk_delete(found, missing_ok=True, force=True, on_error="stop"), Report
    )
    assert_type(await images.bulk_delete(["5", "6"], progress=shown, deadline=60.0), Report)
    assert_type(await images.bulk_delete(ids()), Report)
    assert_type(await images.bulk_save({"5": "a"}, journal=path), Report)
    assert_type(await images.bulk_save([(5, "a"), (6, "b")]), Report)
    assert_type(await images.bulk_save([5, 6], to=lambda node: f"nightly-{node}"), Report)

    plan = Plan.delete(found, force=False, existing=found)
    report = await images.run(
        plan, limit=16, on_error="collect", progress=shown, deadline=None, journal="run.journal"
    )
    assert_type(report, Report)
    assert_type(await images.reconcile(report), Report)
    async with images.stream(plan, limit=16) as outcomes:
        assert_type(outcomes, Stream)
        async for outcome in outcomes:
            assert_type(outcome, Outcome)
            outcomes.stop()
    assert_type(outcomes.report, Report)
    await images.run(Step.delete(image) for image in found)


def plans(found: list[SavedImage]) -> None:
    plan = Plan.rename({"5": "a", "6": "b"})
    assert_type(plan, Plan)
    assert_type(Plan.rename([(found[0], "a"), (found[1], "b")], existing=found), Plan)
    assert_type(Plan.rename(found, to=lambda image: image.name), Plan)
    assert_type(Plan.save({"5": "a"}), Plan)
    assert_type(Plan.of([Step.rename(found[0], "x"), Step.delete(5), Step.save("7", "y")]), Plan)
    assert_type(Plan.from_dict(plan.to_dict()), Plan)
    assert_type(Plan.resume("run.journal"), Plan)
    assert_type(plan[0], Step)
    assert_type(plan[1:], tuple[Step, ...])
    assert_type(iter(plan), Iterator[Step])
    assert_type((len(plan), plan.digest, plan.warnings), tuple[int, str, tuple[str, ...]])
    assert_type((plan.action, plan.unknown), tuple[Action | None, tuple[Step, ...]])
    step = plan[0]
    assert_type((step.action, step.target, step.name), tuple[Action, str, str | None])
    assert_type((step.index, step.previous, step.via), tuple[int | None, str | None, str | None])
    assert_type((step.after, step.open), tuple[tuple[int, ...], bool])


def reports(report: Report) -> None:
    assert_type((report.ok, len(report)), tuple[bool, int])
    assert_type(report.counts(), dict[Status, int])
    assert_type(report.where(Status.FAILED, Status.UNKNOWN), tuple[Outcome, ...])
    assert_type(report.remaining(), Plan)
    assert_type(report.to_dict(), dict[str, Any])
    assert_type(report[0], Outcome)
    outcome = report[0]
    assert_type((outcome.step, outcome.status), tuple[Step, Status])
    assert_type(outcome.result, SaveAction | ActionResult | None)
    assert_type(
        (outcome.error, outcome.attempts, outcome.elapsed), tuple[E2EError | None, int, float]
    )
    try:
        report.raise_for_errors()
    except BulkError as error:
        assert_type(error.report, Report | None)
        assert_type(error.exceptions, tuple[E2EError | ExceptionGroup[E2EError], ...])


async def errors(images: Images) -> None:
    try:
        await images.list()
    except OutcomeUnknownError as error:
        assert_type(
            (error.action, error.target, error.attempts, error.last),
            tuple[str, str, int, E2EError | None],
        )
    except NotFoundError as error:
        assert_type(error.confirmed, bool)
    except (RateLimitedError, ConflictError) as error:
        assert_type(error.retry_after, float | None)
    except APIError as error:
        assert_type((error.status, error.code, error.message), tuple[int, int | None, str])
        assert_type((error.errors, error.action), tuple[tuple[str, ...], str])
    except TransportError as error:
        assert_type((error.sent, error.attempts), tuple[bool, int])
    except ResponseError as error:
        assert_type(error.problems, tuple[str, ...])
    except UsageError as error:
        assert_type(error.problems, tuple[str, ...])
    except SkippedError as error:
        assert_type(error.reason, str)


assert_type(aioe2e.__version__, str)
