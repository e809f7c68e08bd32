"""Servers that several modules of this ring use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis_server import GIVEN, RedisServer


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server that nobody stops, killed at the end; `AIOE2E_TEST_REDIS` names another."""
    if GIVEN:
        yield GIVEN
        return
    with RedisServer() as server:
        yield server.url


@pytest.fixture
def redis_server() -> Iterator[RedisServer]:
    """A server of the test's own, for it to stop."""
    with RedisServer() as server:
        yield server
