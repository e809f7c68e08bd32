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
    """A MyAccount API for saved images that lives on a loopback socket and keeps state.

    ``async with FakeE2E(images=500) as fake`` serves on the running loop; ``with
    FakeE2E(images=500) as fake`` serves from a thread of its own, for tests that are not async or
    that change loops. Any client can be pointed at `url`.

    Args:
        images: How many saved images to make up, or the wire objects themselves, or a JSON file of
            them (a list, or a reply with the list as its ``data``).
        nodes: Likewise; a node has ``id``, ``name`` and ``status``.
        seed: The same seed makes up the same images and nodes, and throws the same dice.
        latency: Seconds that every reply takes, or the least and the most.
        requests_per_second: More than that are answered with 429 and a true Retry-After; None for
            no limit.
        requests_per_hour: Likewise for an hour. Both may be given.
        faults: What goes wrong; see `Faults`. May be set later, too.
        dialects: Which dialects are spoken: names of `DIALECTS`, or a `Dialect`; by default all.
        api_key: The right api key.
        auth_token: The right token.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        keep_calls: How many of the latest `calls` to keep; None for all. `call_count` and
            `RecordedRequest.index` count on.
        keep_ledger: How many of the latest changes to keep in `ledger`; None for all.
            `change_count` counts on.
        **rules: Any field of `Rules`: ``save_seconds``, ``unique_names``, ``visible_after``, …

    Raises:
        UsageError: A value has the wrong type or makes no sense, or a keyword is unknown.
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
        """An emulator that behaves as a field report tells of a real account.

        It has as many images and nodes, with the fields and the types that were seen there, and
        follows what the report tells of dialects, waits, lags, rate limits and the clock.

        Args:
            report: What `Session.field_report` gave, what its ``to_dict`` told, or a file with its
                JSON or its text.
            **options: What shall be otherwise: anything that `FakeE2E` takes.

        Raises:
            UsageError: It is no field report, or an option makes no sense.
            OSError: The file cannot be read.
        """
        return cls(**(options_like(report, seed=options.get("seed", 0)) | options))

    # What is, and what was

    @property
    def url(self) -> str:
        """The base URL, good for `Session`'s ``base_url`` and for other clients' settings."""
        if not self._listener.running:
            raise RuntimeError("FakeE2E is not running: enter it with `async with` or `with` first")
        return f"{self._listener.origin}{_PATH}"

    @property
    def project_id(self) -> int | str:
        """What `session` sends: the first of the account's projects."""
        project = self._store.home.project
        return int(project) if project.isdecimal() else project

    @property
    def location(self) -> str:
        """What `session` sends: the first of the account's locations."""
        return self._store.home.location

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def images(self) -> Records:
        """The true state of all images, by id: wire objects.

        A test may change them, and play another user that way. `Record.location` and
        `Record.project` say where each of them is.

        What goes through them goes through a snapshot, so that requests may come meanwhile.
        """
        self._store.advance()
        return self._store.images

    @property
    def nodes(self) -> Records:
        """The true state of all nodes, by id. A test may change them."""
        self._store.advance()
        return self._store.nodes

    @property
    def ledger(self) -> list[Applied]:
        """Every change that was really made, in order; the latest `keep_ledger` of them."""
        return self._store.ledger

    @property
    def change_count(self) -> int:
        """How many changes were made, those included that the ledger no longer has."""
        return self._store.changes.total()

    @property
    def calls(self) -> list[RecordedRequest]:
        """Every request that arrived, in order; the latest `keep_calls` of them."""
        return self._service.calls

    @property
    def call_count(self) -> int:
        """How many requests arrived, those included that `calls` no longer has."""
        return self._service.arrived

    @property
    def in_flight(self) -> int:
        """Requests that are inside the server now, and whose clients still wait."""
        return len(self._service.inside)

    @property
    def max_in_flight(self) -> int:
        """The most requests that were inside at the same time. Set it to 0 to count anew."""
        return self._service.max_inside

    @max_in_flight.setter
    def max_in_flight(self, value: int) -> None:
        self._service.max_inside = value

    @property
    def refused(self) -> int:
        """Requests that the rate limit refused."""
        return self._service.throttle.refused

    @property
    def inside_retry_after(self) -> int:
        """Requests that came although a 429 had told the client to wait.

        Those that may have been on their way when it was sent do not count: 0.1 s are allowed for
        that, but not on the connection on which the client read the 429.
        """
        return self._service.throttle.ignored

    @property
    def faults(self) -> Faults:
        """What goes wrong. Takes what ``FakeE2E(faults=…)`` takes."""
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
        """Let the next requests meet a fault, before `faults` do; first in, first out.

        Args:
            fault: What they meet.
            action: Only requests of this action, or of these; None for all.
            target: Only those of this image or node.
            times: How many; 1 or more.

        Raises:
            UsageError: There is no such action or kind, or it would never happen.
        """
        checks.whole("times", times, least=1)
        self._service.injected.add(FaultRule.of(action, fault, target=target, times=times))

    def session(self, **options: Any) -> Session:
        """A `Session` for this server.

        Args:
            **options: Anything that `Session` takes. By default a retry comes after 0.01 s to
                0.1 s, and a lost write is looked for during 2 s: the emulator shows late only
                what it is told to.
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
        """Wait until nothing is on its way any more: no request inside, no late effect to come."""
        while self._service.tasks or self._service.pending:  # noqa: ASYNC110  # may be another loop's
            await asyncio.sleep(0.005)

    # Lifetime

    async def start(self) -> None:
        """Begin to listen. `async with` does it."""
        if self._listener.running:
            raise RuntimeError("FakeE2E is running already")
        await self._listener.start(self._service.handle, on_gone=self._service.inside.discard)

    async def close(self) -> None:
        """Stop listening, cut all connections, end what hangs. May be called twice."""
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
