"""The campaign of faults, reduced; ``AIOE2E_CHAOS=full`` (nox session ``chaos``) runs the whole."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import time

import pytest
from campaign import ACTIONS, Run, Setting, Tally

from aioe2e import Credentials, OutcomeUnknownError, RetryPolicy, Session
from aioe2e.testing import KINDS, FakeE2E, Fault, Faults

FULL = os.environ.get("AIOE2E_CHAOS") == "full"
RUNS = 120 if FULL else 8
#: Runs at the same time: most of a run is waiting.
AT_ONCE = 4
#: A small sample scatters; the whole campaign holds the promised shares themselves.
SCATTER = 1.0 if FULL else 2.0


@pytest.mark.timeout(1800 if FULL else 600)
async def test_under_faults_nothing_is_said_that_is_not_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    tally = Tally()
    began = time.monotonic()
    for first in range(0, RUNS, AT_ONCE):
        await asyncio.gather(
            *(Run(Setting.of(seed), tally)() for seed in range(first, first + AT_ONCE))
        )
    with capsys.disabled():
        print(tally, f"{RUNS} runs in {time.monotonic() - began:.1f} s", sep="\n")
    assert not tally.lies, "\n".join(tally.lies[:40])
    assert tally.unknown["list"] == 0
    assert tally.share_unknown("rename", "delete") <= 0.01 * SCATTER
    assert tally.share_unknown(*ACTIONS) <= 0.05 * SCATTER
    assert 0.35 <= tally.faulted / tally.requests <= 0.45
    assert set(tally.kinds) == set(KINDS)


async def test_a_delete_of_an_image_that_no_listing_has_shown_is_not_proven_by_its_absence() -> (
    None
):
    retry = RetryPolicy(attempts=2, base=0.001, look=0.05)
    async with (
        FakeE2E(images=3, nodes=1, image_id_in_save=True, visible_after=30.0) as fake,
        fake.session(retry=retry) as session,
    ):
        action = await session.images.save(next(iter(fake.nodes)), "young")
        assert action.image_id is not None
        fake.faults = Faults.on("delete", Fault("reset", False), times=None)
        with pytest.raises(OutcomeUnknownError):
            await session.images.delete(action.image_id)
        assert action.image_id in fake.images


class Talkative:
    """A server that answers every request with a yes, and says one thing more when it is told to."""

    def __init__(self) -> None:
        self.heard = 0
        self.writers: list[asyncio.StreamWriter] = []

    @staticmethod
    def reply(message: str) -> bytes:
        body = (
            b'{"code": 200, "data": {"status": true}, "errors": {}, "message": "%b"}'
            % message.encode()
        )
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        with contextlib.suppress(ConnectionError):
            while (head := await reader.read(65536)) and b"\r\n\r\n" in head:
                self.heard += 1
                await asyncio.sleep(0.002)
                writer.write(self.reply("genuine"))
        writer.close()

    def idle(self) -> bool:
        """Whether nothing has come, also not to the socket, since the first request."""
        sock = self.writers[0].get_extra_info("socket")
        return self.heard == 1 and not select.select([sock], [], [], 0)[0]


async def test_a_stray_reply_at_any_turn_of_the_loop_is_not_taken_for_the_answer() -> None:
    for turns in range(60):
        server = Talkative()
        async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            credentials = Credentials(api_key="key-for-tests", auth_token="token-for-tests")
            async with Session(credentials, base_url=f"http://127.0.0.1:{port}/") as session:
                await session.images.rename("1", "a")
                call = asyncio.create_task(session.images.rename("2", "b"))
                for _ in range(turns):
                    await asyncio.sleep(0)
                if idle := server.idle():
                    server.writers[0].write(server.reply("stray"))
                result = await call
            assert result.message == "genuine", f"after {turns} turns"
            for writer in server.writers:
                writer.close()
        if not idle:  # from here on the request is there already
            break
    assert turns > 0
