"""The emulator as a server: `FakeE2E`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

from aioe2e.config import Credentials, Dialect, RetryPolicy
from aioe2e.errors import UsageError
from aioe2e.session import Session
from aioe2e.testing.account import (
    Account,
    Applied,
    Record,
    Records,
    RuleOptions,
    Rules,
    Source,
    Store,
    Throttle,
    made_images,
    made_nodes,
    objects_of,
    opennebula_state,
    places_of,
    refuse_strangers,
    spread,
)
from aioe2e.testing.faults import Fault, FaultRule, Faults, FaultsLike, Injected
from aioe2e.testing.net import Listener, LoopThread, RecordedRequest

from . import _checks as checks
from ._arguments import dialect_names, latency_range, refuse_unknown
from ._likeness import ReportLike, options_like
from .service import Service

_API_KEY = "4f7c9a52-1d0e-4b63-9f38-e2e0fa4ebeef"
_AUTH_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJmYWtlIjoidG9rZW4ifQ.c2lnbmF0dXJl-of_nobody"  # noqa: S105  # opens nothing
_PATH = "/myaccount/api/v1/"


class FakeE2E:
    """An emulated MyAccount API for saved images, on a loopback socket.

    ``async with FakeE2E(images=500) as fake`` serves on the running loop. ``with
    FakeE2E(images=500) as fake`` serves from a thread of its own, for tests that are not async or
    that change loops. Any client can use `url`.

    Args:
        images: The number of saved images to make up, their wire objects, or the path of a JSON
            file with them (a list, or a reply with the list as its ``data``).
        nodes: The same for nodes. A node has ``id``, ``name`` and ``status``.
        seed: The random seed of images, nodes and choices.
        latency: Seconds that every reply takes, or a pair of the least and the most.
        requests_per_second: The rate above which requests get a 429 with a correct Retry-After;
            None for no limit.
        requests_per_hour: The same per hour. Both may be given.
        faults: The faults that requests meet; see `Faults`. They can be changed later.
        dialects: The dialects that are accepted, as names of `DIALECTS` or `Dialect`; by default
            all.
        api_key: The API key that is accepted.
        auth_token: The auth token that is accepted.
        host: The address to listen on.
        port: The port to listen on; 0 for any free port.
        keep_calls: The number of the latest `calls` to keep; None for all. `call_count` and
            `RecordedRequest.index` include the others.
        keep_ledger: The number of the latest changes to keep in `ledger`; None for all.
            `change_count` includes the others.
        **rules: The fields of `Rules`, such as ``save_seconds``, ``unique_names`` and
            ``visible_after``.

    Raises:
        UsageError: An argument is invalid or unknown.
        OSError: A file cannot be read.
    """

    def __init__(
        self,
        images: Source = 20,
        nodes: Source = 5,
        *,
        seed: int = 0,
        latency: float | tuple[float, float] = 0.0,
        requests_per_second: float | None = None,
        requests_per_hour: float | None = None,
        faults: FaultsLike = None,
        dialects: Dialect | str | Collection[Dialect | str] | None = None,
        api_key: str = _API_KEY,
        auth_token: str = _AUTH_TOKEN,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_calls: int | None = 50_000,
        keep_ledger: int | None = 50_000,
        **rules: Unpack[RuleOptions],
    ) -> None:
        refuse_unknown(rules, FakeE2E)
        known = Rules(**rules)
        self.credentials: Credentials = Credentials(api_key=api_key, auth_token=auth_token)
        self._api_key = api_key
        self._auth_token = auth_token
        checks.integer("seed", seed)
        checks.text("host", host)
        self._listener = Listener(host, checks.whole("port", port, most=65535))
        self._store = Store(
            _images("images", images, seed, known),
            _nodes("nodes", nodes, seed, known),
            known,
            keep_ledger=checks.whole_or_none("keep_ledger", keep_ledger),
        )
        self._service = Service(
            self._store,
            Account(
                api_key=api_key,
                auth_token=auth_token,
                dialects=dialect_names(dialects),
                rules=known,
            ),
            latency=latency_range(latency),
            throttle=_throttle(requests_per_second, requests_per_hour, known),
            seed=seed,
            keep_calls=checks.whole_or_none("keep_calls", keep_calls),
            refuse=self._listener.refuse,
            reset_next=self._listener.reset_next,
        )
        self.faults = faults
        self._thread: LoopThread | None = None

    @classmethod
    def like(cls, report: ReportLike, **options: Any) -> Self:
        """Make an emulator that behaves as a field report describes a real account.

        It has as many images and nodes, with the same fields and types. It follows the report's
        dialects, waits, lags, rate limits and clock.

        Args:
            report: The result of `Session.field_report` or of its ``to_dict``, or the path of a
                file with its JSON or its text.
            **options: Arguments of `FakeE2E`, which override the report.

        Raises:
            UsageError: It is not a field report, or an option is invalid.
            OSError: The file cannot be read.
        """
        return cls(**(options_like(report, seed=options.get("seed", 0)) | options))

    # What is, and what was

    @property
    def url(self) -> str:
        """The base URL, for ``base_url`` of `Session` and for the settings of other clients."""
        if not self._listener.running:
            raise RuntimeError("FakeE2E is not running: enter it with `async with` or `with` first")
        return f"{self._listener.origin}{_PATH}"

    @property
    def project_id(self) -> int | str:
        """The project that `session` uses: the first one of the account."""
        project = self._store.home.project
        return int(project) if project.isdecimal() else project

    @property
    def location(self) -> str:
        """The location that `session` uses: the first one of the account."""
        return self._store.home.location

    @property
    def port(self) -> int:
        """The port that the emulator listens on."""
        return self._listener.port

    @property
    def images(self) -> Records:
        """The true state of all images: a mapping of id to wire object.

        A test may change them, as another user would. The attributes ``location`` and ``project``
        of each object are the place of the image. Reading or writing takes a snapshot, so requests
        may arrive at the same time.
        """
        self._store.advance()
        return self._store.images

    @property
    def nodes(self) -> Records:
        """The true state of all nodes: a mapping of id to wire object. A test may change them."""
        self._store.advance()
        return self._store.nodes

    @property
    def ledger(self) -> list[Applied]:
        """Every change that was applied, in order; the latest ``keep_ledger`` of them."""
        return self._store.ledger

    @property
    def change_count(self) -> int:
        """The number of changes, including those that `ledger` no longer has."""
        return self._store.changes.total()

    @property
    def calls(self) -> list[RecordedRequest]:
        """Every request that arrived, in order; the latest ``keep_calls`` of them."""
        return self._service.calls

    @property
    def call_count(self) -> int:
        """The number of requests that arrived, including those that `calls` no longer has."""
        return self._service.arrived

    @property
    def in_flight(self) -> int:
        """The number of requests that are being processed and whose clients still wait."""
        return len(self._service.inside)

    @property
    def max_in_flight(self) -> int:
        """The highest number of requests in flight at the same time. Set it to 0 to start again."""
        return self._service.max_inside

    @max_in_flight.setter
    def max_in_flight(self, value: int) -> None:
        self._service.max_inside = value

    @property
    def refused(self) -> int:
        """The number of requests that the rate limit refused."""
        return self._service.throttle.refused

    @property
    def inside_retry_after(self) -> int:
        """The number of requests that arrived although a 429 had asked the client to wait.

        Requests that may have been sent before the 429 arrived do not count. For that, 0.1 s are
        allowed, but not on the connection on which the client read the 429.
        """
        return self._service.throttle.ignored

    @property
    def faults(self) -> Faults:
        """The faults that requests meet. It accepts what ``FakeE2E(faults=…)`` accepts."""
        return Faults(self._service.injected, self._service.faults)

    @faults.setter
    def faults(self, faults: FaultsLike) -> None:
        self._service.faults = Faults.of(faults)
        # A new one, not an empty one: `faults` may hold the old.
        self._service.injected = Injected()

    def inject(
        self,
        fault: Fault | str,
        action: str | Collection[str] | None = None,
        *,
        target: str | int | None = None,
        times: int = 1,
    ) -> None:
        """Let the next requests meet a fault, before those of `faults`; first in, first out.

        Args:
            fault: The fault, or the name of its kind.
            action: Only requests of this action, or of these; None for all.
            target: Only requests for this image or node.
            times: The number of requests that meet it, 1 or more.

        Raises:
            UsageError: There is no such action or kind, or no request could ever meet it.
        """
        checks.whole("times", times, least=1)
        self._service.injected.add(FaultRule.of(action, fault, target=target, times=times))

    def session(self, **options: Any) -> Session:
        """Return a `Session` for this emulator.

        Args:
            **options: Arguments of `Session`. By default retries come after 0.01 s to 0.1 s, and
                `RetryPolicy.look` is 2 s: only what the emulator is told to delay is late.
        """
        defaults: dict[str, Any] = {
            "base_url": self.url,
            "project_id": self.project_id,
            "location": self.location,
            "retry": RetryPolicy(base=0.01, cap=0.1, look=2.0),
        }
        return Session(options.pop("credentials", self.credentials), **(defaults | options))

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables with which ``Session.from_env()`` uses this server.

        A test of an application sets them, with ``monkeypatch.setenv`` for example.
        """
        return {
            "E2E_API_KEY": self._api_key,
            "E2E_AUTH_TOKEN": self._auth_token,
            "E2E_PROJECT_ID": str(self.project_id),
            "E2E_LOCATION": self.location,
            "E2E_MYACCOUNT_BASE_URL": self.url.rstrip("/").removesuffix("/api/v1"),
        }

    async def settle(self) -> None:
        """Wait until no request is being processed and no late effect is to come."""
        while self._service.tasks or self._service.pending:  # noqa: ASYNC110  # may be another loop's
            await asyncio.sleep(0.005)

    # Lifetime

    async def start(self) -> None:
        """Start to listen. ``async with`` does this."""
        if self._listener.running:
            raise RuntimeError("FakeE2E is running already")
        await self._listener.start(self._service.handle, on_gone=self._service.inside.discard)

    async def close(self) -> None:
        """Stop listening, and close all connections. Closing twice does nothing."""
        await self._listener.close(cancel=self._service.cancel)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def __enter__(self) -> Self:
        if self._thread is not None or self._listener.running:
            raise RuntimeError("FakeE2E is running already; make another one for a second server")
        self._thread = LoopThread()
        try:
            self._thread.run(self.start())
        except BaseException:
            self._end_thread()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._thread is not None
        try:
            self._thread.run(self.close())
        finally:
            self._end_thread()

    def _end_thread(self) -> None:
        assert self._thread is not None
        self._thread.stop()
        self._thread = None

    def __repr__(self) -> str:
        where = self.url if self._listener.running else "not running"
        state = f"{len(self._store.images)} images, {len(self._store.nodes)} nodes"
        return f"<FakeE2E {where}: {state}, {self.call_count} calls, {self.change_count} changes>"


def _images(name: str, source: Source, seed: int, rules: Rules) -> list[Mapping[str, Any]]:
    def make(count: int) -> list[Record]:
        images = made_images(count, seed)
        if rules.opennebula:
            for image in images:
                image["image_state"] = opennebula_state(image)
        return spread(images, places_of(rules.projects, rules.locations))

    return _placed(name, objects_of(name, "image_id", source, make), rules)


def _nodes(name: str, source: Source, seed: int, rules: Rules) -> list[Mapping[str, Any]]:
    def make(count: int) -> list[Record]:
        return spread(made_nodes(count, seed), places_of(rules.projects, rules.locations))

    return _placed(name, objects_of(name, "id", source, make), rules)


def _placed(name: str, objects: list[Mapping[str, Any]], rules: Rules) -> list[Mapping[str, Any]]:
    refuse_strangers(name, objects, rules.projects, rules.locations)
    return objects


def _throttle(per_second: float | None, per_hour: float | None, rules: Rules) -> Throttle:
    if per_second is None and per_hour is None:
        for name in ("burst", "rate_limit_headers"):
            if getattr(rules, name) is not None:
                raise UsageError(f"{name} needs requests_per_second or requests_per_hour")
    return Throttle(per_second, per_hour=per_hour, burst=rules.burst)
