"""The emulator as a server: `FakeE2E`."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from aioe2e.config import Credentials, Dialect, RetryPolicy
from aioe2e.testing.account.records import Records
from aioe2e.testing.account.routes import Account
from aioe2e.testing.account.rules import RuleOptions, Rules
from aioe2e.testing.account.seed import Source, made_images, made_nodes, objects_of
from aioe2e.testing.account.store import Applied, Store
from aioe2e.testing.account.throttle import Throttle
from aioe2e.testing.faults.fault import Fault
from aioe2e.testing.faults.script import Faults, FaultsLike, Injected, Rule
from aioe2e.testing.net.calls import Call
from aioe2e.testing.net.listener import Listener
from aioe2e.testing.net.loop_thread import LoopThread
from aioe2e.testing.net.service import Service

from . import _checks as checks
from ._arguments import dialect_names, latency_range

if TYPE_CHECKING:
    from aioe2e.session import Session

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
        faults: What goes wrong; see `Faults`. May be set later, too.
        dialects: Which dialects are spoken: names of `DIALECTS`, or a `Dialect`; by default all.
        api_key: The right api key.
        auth_token: The right token.
        host: The address to listen on.
        port: The port; 0 for any that is free.
        keep_calls: How many of the latest `calls` to keep; None for all. `Call.index` counts on.
        **rules: Any field of `Rules`: ``save_seconds``, ``unique_names``, ``visible_after``, …

    Raises:
        UsageError: A value has the wrong type or makes no sense.
        OSError: A file cannot be read.
    """

    #: What `session` sends.
    project_id = 12345
    location = "Delhi"

    def __init__(
        self,
        images: Source = 20,
        nodes: Source = 5,
        *,
        seed: int = 0,
        latency: float | tuple[float, float] = 0.0,
        requests_per_second: float | None = None,
        faults: FaultsLike = None,
        dialects: Dialect | str | Collection[Dialect | str] | None = None,
        api_key: str = _API_KEY,
        auth_token: str = _AUTH_TOKEN,
        host: str = "127.0.0.1",
        port: int = 0,
        keep_calls: int | None = None,
        **rules: Unpack[RuleOptions],
    ) -> None:
        self.credentials: Credentials = Credentials(api_key=api_key, auth_token=auth_token)
        checks.integer("seed", seed)
        checks.text("host", host)
        self._listener = Listener(host, checks.whole("port", port, most=65535))
        known = Rules(**rules)
        self._store = Store(
            objects_of("images", images, lambda count: made_images(count, seed)),
            objects_of("nodes", nodes, lambda count: made_nodes(count, seed)),
            known,
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
            throttle=None
            if requests_per_second is None
            else Throttle(requests_per_second, burst=known.burst),
            seed=seed,
            keep_calls=None if keep_calls is None else checks.whole("keep_calls", keep_calls),
            refuse=self._listener.refuse,
            slam=self._listener.slam,
        )
        self.faults = faults
        self._thread: LoopThread | None = None

    # What is, and what was

    @property
    def url(self) -> str:
        """The base URL, good for `Session`'s ``base_url`` and for other clients' settings."""
        if not self._listener.running:
            raise RuntimeError("FakeE2E is not running: enter it with `async with` or `with` first")
        return f"{self._listener.origin}{_PATH}"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._listener.port

    @property
    def images(self) -> Records:
        """The true state of all images, by id: wire objects. A test may change them, and play
        another user that way.

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
        """Every change that was really made, in order."""
        return self._store.ledger

    @property
    def calls(self) -> list[Call]:
        """Every request that arrived, in order."""
        return self._service.calls

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
        return self._service.throttle.refused if self._service.throttle else 0

    @property
    def inside_retry_after(self) -> int:
        """Requests that came although a 429 had told the client to stay away (0.1 s are allowed for
        the way)."""
        return self._service.throttle.ignored if self._service.throttle else 0

    @property
    def faults(self) -> Faults:
        """What goes wrong. Takes whatever ``FakeE2E(faults=…)`` takes."""
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
        """Let the next `times` requests meet a fault, before `faults` have a say; first in, first
        out.

        Args:
            fault: What they meet.
            action: Only requests of this action, or of these; None for all.
            target: Only those of this image or node.
            times: How many; 1 or more.

        Raises:
            UsageError: There is no such action or kind, or it would never happen.
        """
        checks.whole("times", times, least=1)
        self._service.injected.add(Rule.of(action, fault, target=target, times=times))

    def session(self, **options: Any) -> Session:
        """A `Session` for this server.

        Args:
            **options: Anything that `Session` takes. By default a lost write is looked for during
                2 s instead of 10 s, since the emulator shows late only what it is told to.
        """
        # Here and not above: the emulator serves other clients, too, and then needs no client of
        # ours.
        from aioe2e.session import Session  # noqa: PLC0415

        defaults: dict[str, Any] = {
            "base_url": self.url,
            "project_id": self.project_id,
            "location": self.location,
            "retry": RetryPolicy(look=2.0),
        }
        return Session(options.pop("credentials", self.credentials), **(defaults | options))

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
        counts = f"{len(self._store.images)} images, {len(self._store.nodes)} nodes, {len(self.calls)} calls"
        return f"<FakeE2E {where}: {counts}, {len(self.ledger)} changes>"
