"""The pytest fixtures ``fake_e2e`` and ``e2e_session``, which are installed with the package.

```python
@pytest.mark.fake_e2e(images=50, faults=["reset"])
async def test_rotation(fake_e2e, e2e_session):
    await rotate(e2e_session)
    assert len(fake_e2e.images) == 7
```

They work with every runner of async tests (pytest-asyncio, anyio, or ``asyncio.run`` in a sync
test). The emulator runs in a thread of its own. The session is closed on the loop of the test,
right after the test function.

The emulator is imported when a fixture is first used. A test run without the fixtures pays for
``import aioe2e``, about 0.2 s. ``-p no:aioe2e`` turns the plugin off.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from aioe2e.session import Session

    from . import FakeE2E

_MARKER = (
    "fake_e2e(**options): what the emulator of the fixture `fake_e2e` is made with, "
    "like FakeE2E(**options)"
)
#: What `FakeE2E` takes without a keyword.
_POSITIONAL = ("images", "nodes")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def fake_e2e(request: pytest.FixtureRequest) -> Iterator[FakeE2E]:
    """Provide a running `FakeE2E` for each test.

    ``@pytest.mark.fake_e2e(images=50)`` passes arguments to it. The marks of a module, a class and
    a test are combined; the mark that is closest to the test takes precedence.
    """
    from . import FakeE2E  # noqa: PLC0415  # not before it is needed

    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("fake_e2e"))):
        if len(marker.args) > len(_POSITIONAL):
            raise pytest.UsageError(
                f"pytest.mark.fake_e2e takes images and nodes without a keyword, not {marker.args}"
            )
        options |= dict(zip(_POSITIONAL, marker.args, strict=False)) | marker.kwargs
    with FakeE2E(**options) as fake:
        yield fake


@pytest.fixture
def e2e_session(request: pytest.FixtureRequest, fake_e2e: FakeE2E) -> Iterator[Session]:
    """Provide a `Session` for the emulator of ``fake_e2e``.

    It is closed when the test function ends. A sync test that runs event loops of its own should
    use ``async with e2e_session:`` in the first one, since the session belongs to that loop.
    """
    session = fake_e2e.session()
    item = request.node
    test = getattr(item, "obj", None)
    if inspect.iscoroutinefunction(test):
        # A session is closed on its own loop. The test runs there; the end of a fixture may not.
        item.obj = _closing(test, session)
    try:
        yield session
    finally:
        if inspect.iscoroutinefunction(test):
            item.obj = test
        if not session.closed:
            _run(session)


def _closing(test: Callable[..., Any], session: Session) -> Callable[..., Any]:
    @functools.wraps(test)
    async def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return await test(*args, **kwargs)
        finally:
            await session.close()

    return run


def _run(session: Session) -> None:
    """Close a session whose loop is gone, or that never had one."""
    import asyncio  # noqa: PLC0415  # not before it is needed

    # Not asyncio.run: that would take the current loop away from runners that set one.
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(session.close())
    finally:
        loop.close()
