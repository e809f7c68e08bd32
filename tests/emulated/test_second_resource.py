"""A second resource, defined outside the package's own rooms, needs the channel and nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest

from aioe2e import AuthenticationError, NotFoundError, ResponseError, RetryPolicy, Timeouts
from aioe2e._actions import Repeatability
from aioe2e._call import Call, Channel, ChannelSettings, Options
from aioe2e._clock import Clock
from aioe2e._record import CallRecord
from aioe2e._wire import Context, Request
from aioe2e.config import Dialect, Limits, checked_base_url
from aioe2e.testing import FakeE2E

LIST = Request(
    "nodes", "", Repeatability.READ, "GET", "nodes/", subject="listing the nodes", lists=True
)


@attrs.frozen
class Server:
    """One node, as far as this resource goes."""

    id: str
    name: str


class Servers:
    """The whole resource: what it asks for, and what it makes of the reply."""

    def __init__(self, channel: Channel, options: Options) -> None:
        self._channel = channel
        self._options = options

    async def list(self) -> list[Server]:
        return [server_of(raw) for raw in await self._data(LIST)]

    async def get(self, server: str) -> Server:
        path = f"nodes/{server}/"
        request = Request("node", server, Repeatability.READ, "GET", path, subject="get of node")
        return server_of(await self._data(request))

    async def _data(self, request: Request) -> Any:
        verdict = await Call(self._channel, self._options, request, CallRecord()).run()
        return verdict.data


def server_of(raw: dict[str, Any]) -> Server:
    return Server(str(raw["id"]), raw["name"])


@asynccontextmanager
async def servers(fake: FakeE2E, limits: Limits | None = None) -> AsyncIterator[Servers]:
    channel = Channel(
        ChannelSettings(
            credentials=fake.credentials,
            base=checked_base_url(fake.url),
            limits=limits or Limits(),
            dialect=Dialect.AUTO,
            hooks=(),
            user_agent="tests",
            trust_env=False,
            clock=Clock(),
        ),
        None,
    )
    context = Context(str(fake.project_id), fake.location)
    retry = RetryPolicy(attempts=3, base=0.001, cap=0.002)
    try:
        yield Servers(channel, Options(Timeouts(), retry, context))
    finally:
        await channel.close()


async def test_a_resource_of_ones_own_is_listed_and_got_with_the_channel_alone() -> None:
    async with FakeE2E(images=0, nodes=3) as fake, servers(fake) as resource:
        found = await resource.list()
        assert [server.id for server in found] == list(fake.nodes)
        assert await resource.get(found[1].id) == found[1]
        assert all(call.query["project_id"] == str(fake.project_id) for call in fake.calls)


@pytest.mark.parametrize("fault", ["500-json", "reset", "html-200", "429-json-decimals"])
async def test_its_calls_are_retried_like_any_other(fault: str) -> None:
    async with FakeE2E(images=0, nodes=2) as fake, servers(fake) as resource:
        fake.inject(fault, action="nodes", times=2)
        assert len(await resource.list()) == 2
        assert len(fake.calls) == 3


async def test_its_errors_name_it_and_what_was_tried() -> None:
    async with FakeE2E(images=0, nodes=1) as fake, servers(fake) as resource:
        with pytest.raises(NotFoundError, match="get of node 12345: the server answered 404") as no:
            await resource.get("12345")
        assert (no.value.action, no.value.attempts) == ("node", 1)
        fake.inject("401-json", action="nodes")
        with pytest.raises(AuthenticationError, match="listing the nodes: the server answered 401"):
            await resource.list()


async def test_its_listing_must_be_a_list_and_within_the_bound_of_the_session() -> None:
    async with FakeE2E(images=0, nodes=40) as fake:
        async with servers(fake) as resource:
            fake.inject("body-empty-object", action="nodes", times=3)
            with pytest.raises(ResponseError, match=r"listing the nodes: .* a list was expected"):
                await resource.list()
        async with servers(fake, Limits(max_body=1024)) as resource:
            with pytest.raises(ResponseError, match="larger than 1024 bytes"):
                await resource.list()
