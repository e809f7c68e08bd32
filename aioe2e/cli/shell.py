"""What every command has: its streams, the signals that end it, and the session of its account."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, TextIO

import attrs

import aioe2e
from aioe2e import Dialect, Limits, Timeouts, events

from .exits import CommandError, Exit
from .options import Account, seconds
from .parser import Parser
from .terminal import Screen

if TYPE_CHECKING:  # it brings the HTTP client along, which help and completion do not need
    from aioe2e import Session

__all__ = ["Interrupts", "Shell", "is_in_environment", "open_session"]

#: One of these in the environment, and the environment is what is meant.
_ENVIRONMENT: Final = ("E2E_API_KEY", "E2E_AUTH_TOKEN", "E2E_PROFILE")
_NODES: Final = 20
#: Seconds that requests in flight are given after the first signal.
_GRACE: Final = 10.0


class Interrupts:
    """Ctrl-C, and the signals that mean the same.

    The first lets a run end what is in flight; a second, or ten seconds, cancels that too. Any
    other command is cancelled by the first.
    """

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self.came: bool = False
        self._loop = asyncio.get_running_loop()
        self._task = task
        self._stop: Callable[[], object] | None = None
        self._asking = False

    @contextlib.contextmanager
    def installed(self) -> Generator[None]:
        """Listen for as long as the block runs. A signal that is ignored stays so (``nohup``)."""
        before: dict[int, Any] = {}
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            # Only the main thread may: elsewhere a test runs the command.
            with contextlib.suppress(ValueError):
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    before[number] = signal.signal(number, self._on_signal)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], object]) -> Generator[None]:
        """In the block, the first signal calls `stop` and cancels nothing."""
        self._stop = stop
        try:
            yield
        finally:
            self._stop = None

    @contextlib.contextmanager
    def asking(self) -> Generator[None]:
        """In the block, a question is read without the loop: a signal is a KeyboardInterrupt."""
        self._asking = True
        try:
            yield
        finally:
            self._asking = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self._asking:
            self.came = True
            raise KeyboardInterrupt
        self._loop.call_soon_threadsafe(self.interrupt)

    def interrupt(self) -> None:
        """What a signal does."""
        first, self.came = not self.came, True
        if first and self._stop is not None:
            self._stop()
            self._loop.call_later(_GRACE, self._task.cancel)
        else:
            self._task.cancel()


@attrs.frozen
class Shell:
    """What a command is handed."""

    parser: Parser
    screen: Screen
    stdin: TextIO
    environ: Mapping[str, str]
    interrupts: Interrupts

    def ask(self, question: str, *, instead: str) -> None:
        """Ask a question on the terminal.

        Args:
            question: The question, without ``[y/N]``.
            instead: What to do where there is no terminal.

        Raises:
            CommandError: The answer is not yes, or there is no terminal.
        """
        if not (self.stdin.isatty() and self.screen.err.is_terminal):
            raise CommandError(f"no terminal to ask on: {question}", next_step=instead)
        stream = self.screen.err.stream
        try:
            with self.interrupts.asking():  # before the question can be seen and answered by Ctrl-C
                stream.write(f"{self.screen.err.styled(question, 'bold')} [y/N] ")
                stream.flush()
                answer = self.stdin.readline()
        except KeyboardInterrupt:
            self.screen.note("")
            raise CommandError("interrupted; nothing was changed", Exit.INTERRUPTED) from None
        if not answer:
            self.screen.note("")
        if answer.strip().lower() not in ("y", "yes"):
            raise CommandError("not confirmed; nothing was changed")


@contextlib.asynccontextmanager
async def open_session(
    account: Account,
    screen: Screen,
    *,
    call_timeout: bool = True,
    several: bool = False,
    at_once: int = 0,
) -> AsyncGenerator[Session]:
    """A session for the account that is meant.

    Args:
        account: The options.
        screen: Where requests are shown with ``-v``.
        call_timeout: Whether ``--timeout`` is that of each call.
        several: Whether more than one location may be given; the session is for the first then.
        at_once: How many changes the command makes at the same time.

    Raises:
        ConfigError: A setting is wrong or missing.
        CommandError: An option is invalid.
    """
    async with contextlib.AsyncExitStack() as stack:
        if len(account.location) > 1 and not several:
            raise CommandError("--location: only `images list` takes more than one")
        options = _options(account, screen, call_timeout=call_timeout)
        if at_once > Limits().in_flight:
            options["limits"] = Limits(in_flight=at_once)
        if account.emulator is not None:
            session = await _emulated(account.emulator, stack, options)
        elif account.profile is not None:
            session = aioe2e.Session.from_profile(account.profile, **options)
        elif is_in_environment():
            session = aioe2e.Session.from_env(**options)
        else:
            session = aioe2e.Session.from_profile(**options)
        yield await stack.enter_async_context(session)


def is_in_environment() -> bool:
    """Whether the environment says which account is meant; else it is the default profile."""
    return any(os.environ.get(name) for name in _ENVIRONMENT)


def _options(account: Account, screen: Screen, *, call_timeout: bool) -> dict[str, Any]:
    """The arguments of `Session` that were given."""
    found: dict[str, Any] = {}
    if account.project_id is not None:
        found["project_id"] = account.project_id
    if account.location:
        found["location"] = account.location[0]
    if account.base_url is not None:
        found["base_url"] = account.base_url
    if account.dialect is not None:
        found["dialect"] = Dialect(account.dialect)
    if account.trust_env:
        found["trust_env"] = True
    if call_timeout and account.timeout is not None:
        found["timeouts"] = Timeouts(total=seconds("--timeout", account.timeout))
    if screen.verbose:
        found["hooks"] = [_Reporter(screen)]
    return found


async def _emulated(
    count: int, stack: contextlib.AsyncExitStack, options: dict[str, Any]
) -> Session:
    """A session on an emulated account, which ends with the command."""
    from aioe2e.testing import FakeE2E, made_images  # noqa: PLC0415  # a web server, for this only

    options.pop("base_url", None)
    images = made_images(count, today=datetime.now().astimezone(), in_use=0.1)
    fake = await stack.enter_async_context(FakeE2E(images, _NODES, latency=0.02, save_seconds=1.0))
    return fake.session(**options)


class _Reporter:
    """Shows requests and pauses on stderr. An event has no secret in it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __call__(self, event: object) -> None:
        now = f"{datetime.now().astimezone():%H:%M:%S}"
        if isinstance(event, events.AttemptEvent):
            self._screen.note(f"{now} {' '.join(_words(event))}")
        elif isinstance(event, events.PauseEvent):
            self._screen.note(f"{now} paused for {event.seconds:.0f} s, as the server asked")


def _words(event: events.AttemptEvent) -> Iterable[str]:
    yield event.method
    yield event.path
    yield "no reply" if event.status is None else str(event.status)
    if event.attempt > 1:
        yield f"(attempt {event.attempt})"
    yield f"{event.elapsed * 1000:.0f} ms"
