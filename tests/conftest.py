"""Runs ``async def`` tests on a loop of their own and refuses those that leave a task or a socket behind."""

from __future__ import annotations

import asyncio
import gc
import inspect
import signal
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

import hypothesis

# Hypothesis imports this one in the middle of a test. Compiled at that depth, with the collector
# running, Python 3.11 ends with "AST constructor recursion depth mismatch".
import hypothesis.internal.conjecture.optimiser
import pytest

if TYPE_CHECKING:
    from redis_server import RedisServer

try:
    import uvloop
except ImportError:  # none on Windows
    uvloop = None  # type: ignore[assignment]

# A busy machine makes examples slowly; that says nothing about the code under test.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in a job that a script put into the background
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # else the programs that tests start could not be stopped


def pytest_collection_finish() -> None:
    # What the imports made stays to the end. Set aside, it is not walked through after every test.
    gc.collect()
    gc.freeze()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the coroutine tests of a module on each of the event loops that its `LOOPS` names."""
    kinds = [kind for kind in getattr(metafunc.module, "LOOPS", ()) if kind in _LOOPS]
    if kinds and inspect.iscoroutinefunction(metafunc.function):
        metafunc.fixturenames.append("loop_kind")
        metafunc.parametrize("loop_kind", kinds)


def _eager(loop: asyncio.AbstractEventLoop) -> asyncio.AbstractEventLoop:
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined,unused-ignore]  # from Python 3.12 on
    return loop


def _virtual_loop() -> asyncio.AbstractEventLoop:
    from virtual_time import VirtualLoop  # noqa: PLC0415  # this file is also used alone

    return VirtualLoop()


#: The event loops of this Python that a module's `LOOPS` may name.
_LOOPS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop]]] = {
    "asyncio": asyncio.new_event_loop,
    "virtual time": _virtual_loop,
}
if sys.version_info >= (3, 12):
    _LOOPS["eager tasks"] = lambda: _eager(asyncio.new_event_loop())
    _LOOPS["eager tasks in virtual time"] = lambda: _eager(_virtual_loop())
if uvloop is not None:
    _LOOPS["uvloop"] = uvloop.new_event_loop


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}
    parameters = pyfuncitem.callspec.params if hasattr(pyfuncitem, "callspec") else {}
    factory = _LOOPS[str(parameters.get("loop_kind", "asyncio"))]

    async def run() -> None:
        await pyfuncitem.obj(**arguments)
        # What is about to end (a connection on its way down, a cancelled task) gets a few turns of the loop.
        for _ in range(20):
            if len(asyncio.all_tasks()) == 1:
                return
            await asyncio.sleep(0.005)
        pytest.fail(f"tasks left behind: {asyncio.all_tasks() - {asyncio.current_task()}}")

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run())
    gc.collect()
    return True


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server that no test stops, killed at the end; `AIOE2E_TEST_REDIS` names another."""
    from redis_server import GIVEN, RedisServer  # noqa: PLC0415  # this file is also used alone

    if GIVEN:
        yield GIVEN
        return
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own, for it to stop."""
    from redis_server import RedisServer  # noqa: PLC0415  # this file is also used alone

    with RedisServer() as server:
        yield server
