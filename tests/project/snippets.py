"""Runs the Python blocks of a Markdown page against the emulator, as a reader would meet them.

The blocks of a page run in its order and share their names, so that a page can go on with what it made. Each finds a
fresh listing as ``images``. A block may await at its top level, as in ``python -m asyncio``; such a block finds an open
``session``. `Session.from_env` finds the emulator, whose credentials stand in the environment.
"""

from __future__ import annotations

import ast
import asyncio
import functools
import importlib.util
import inspect
import re
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import attrs
import pytest

import aioe2e
from aioe2e.testing import FakeE2E

ROOT = Path(__file__).parents[2]
INDIA = timezone(timedelta(hours=5, minutes=30))

_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@attrs.frozen
class Block:
    page: str
    line: int
    text: str

    def compiled(self) -> CodeType:
        # Blank lines before it make tracebacks point into the page.
        source = "\n" * (self.line - 1) + self.text
        code: CodeType = compile(
            source, self.page, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
        )
        return code


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in _BLOCK.finditer(text):
        yield Block(str(page), text.count("\n", 0, match.start(1)) + 1, match[1])


@functools.cache
def load(path: Path) -> ModuleType:
    """A module that is no part of any package: an example, or the generator of the tables."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tables() -> ModuleType:
    """The generator of the tables in the pages."""
    return load(ROOT / "docs" / "tables.py")


def use_in_environment(monkeypatch: pytest.MonkeyPatch, fake: FakeE2E) -> None:
    """Make a program that calls `Session.from_env` talk to the emulator."""
    monkeypatch.setenv("E2E_API_KEY", fake.credentials.api_key)
    monkeypatch.setenv("E2E_AUTH_TOKEN", str(fake.credentials.auth_token))
    monkeypatch.setenv("E2E_PROJECT_ID", str(fake.project_id))
    monkeypatch.setenv("E2E_LOCATION", fake.location)
    defaults = aioe2e.Session.__init__.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "base_url", fake.url)


def run_page(page: Path, fake: FakeE2E, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Run all blocks of a page.

    Args:
        page: The Markdown file.
        fake: The emulator; it must be served from a thread of its own.
        names: Names that the page takes for granted.

    Returns:
        All names that the blocks have left.
    """
    left: dict[str, Any] = {
        "__name__": "page",
        "asyncio": asyncio,
        "aioe2e": aioe2e,
        "fake": fake,
        **(names or {}),
    }
    for block in blocks_of(page):
        code = block.compiled()
        left["images"] = asyncio.run(_listing(fake))
        if code.co_flags & inspect.CO_COROUTINE:
            asyncio.run(_run_awaiting(code, fake, left))
        else:
            exec(code, left)
    return left


async def _listing(fake: FakeE2E) -> list[aioe2e.SavedImage]:
    async with fake.session() as session:
        return await session.images.list()


async def _run_awaiting(code: CodeType, fake: FakeE2E, names: dict[str, Any]) -> None:
    # Short back-offs, so that the faults on the pages do not make the tests slow.
    async with fake.session(retry=aioe2e.RetryPolicy(base=0.01, look=0.3)) as session:
        names["session"] = session
        await eval(code, names)
