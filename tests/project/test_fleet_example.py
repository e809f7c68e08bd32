"""The example of a fleet does what it says while its workers, its job and its engine are killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
from redis_server import RedisServer
from snippets import ROOT, use_in_environment

from aioe2e import Plan, Step
from aioe2e.testing import FakeE2E

JOB = ROOT / "examples" / "fleet" / "job.py"
FULL = os.environ.get("AIOE2E_CHAOS") == "full"
#: Saves of a job, and how often something is killed.
SAVES, KILLS = (480, 12) if FULL else (100, 6)
IDLE = "1.5"

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL"),
    pytest.mark.timeout(300),  # a busy machine takes long to start a dozen processes
]


def workers(job: int) -> list[int]:
    """The processes that the job has started to work."""
    command = ["pgrep", "-P", str(job), "-f", "spawn_main"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


class Fleet:
    """A job on a plan of saves, with an emulator on which a save that is done twice would show."""

    def __init__(self, folder: Path, redis: RedisServer) -> None:
        self.redis = redis
        self.nodes = [str(number) for number in range(1, SAVES + 1)]
        wire = [{"id": node, "name": f"node-{node}", "status": "Running"} for node in self.nodes]
        self.fake = FakeE2E(
            images=0, nodes=wire, latency=(0.05, 0.15), save_seconds=0.0, unique_names=False
        )
        self._plan = folder / "plan.json"
        self._shared = folder / "shared"
        plan = Plan.of([Step.save(node, f"image-of-{node}") for node in self.nodes])
        self._plan.write_text(json.dumps(plan.to_dict()))
        self._said = folder / "said"
        self._jobs: list[asyncio.subprocess.Process] = []

    async def start(self) -> asyncio.subprocess.Process:
        command = [sys.executable, str(JOB), str(self._plan), str(self._shared)]
        command += ["--workers", "3", "--redis", self.redis.url, "--idle", IDLE]
        command += ["--per-hour", "360000"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        # Into a file: workers that outlive a killed job would hold a pipe open.
        with self._said.open("wb") as said:
            job = await asyncio.create_subprocess_exec(*command, env=environment, stdout=said)
        self._jobs.append(job)
        return job

    async def __aenter__(self) -> Self:
        await self.fake.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        for job in self._jobs:
            if job.returncode is None:  # the test has failed
                for process in [*workers(job.pid), job.pid]:
                    os.kill(process, signal.SIGKILL)
                await job.wait()
        await self.fake.__aexit__(None, None, None)

    async def saved(self, count: int) -> None:
        """Wait until so many saves have been made."""
        while len(self.fake.ledger) < count:
            await asyncio.sleep(0.02)

    def assert_each_is_saved_once(self) -> None:
        said = self._said.read_text()
        names = Counter(line.name for line in self.fake.ledger if line.action == "save")
        assert max(names.values()) == 1, "twice"
        unknown = [line for line in said.splitlines() if line.startswith("unknown: ")]
        # A worker may be killed between the lines in its journal and the requests. On a busy machine
        # that takes long, so now and then it catches two of them.
        assert len(names) + len(unknown) >= SAVES
        assert f"{SAVES - len(unknown)} of {SAVES} steps are done" in said
        assert len(unknown) <= KILLS


@pytest.fixture
def as_account(monkeypatch: pytest.MonkeyPatch) -> Callable[[FakeE2E], None]:
    def use(fake: FakeE2E) -> None:
        use_in_environment(monkeypatch, fake)
        monkeypatch.setenv("E2E_MYACCOUNT_BASE_URL", fake.url)

    return use


async def test_each_save_is_made_once_while_workers_are_killed(
    tmp_path: Path, redis_server: RedisServer, as_account: Callable[[FakeE2E], None]
) -> None:
    dice = random.Random(1)
    async with Fleet(tmp_path, redis_server) as fleet:
        as_account(fleet.fake)
        job = await fleet.start()
        for kill in range(KILLS):
            await fleet.saved((kill + 1) * SAVES // (KILLS + 2))
            while not (found := workers(job.pid)):
                await asyncio.sleep(0.05)
            os.kill(dice.choice(found), signal.SIGKILL)
        await job.wait()
        fleet.assert_each_is_saved_once()


async def test_the_job_and_redis_may_be_killed_and_started_again(
    tmp_path: Path, redis_server: RedisServer, as_account: Callable[[FakeE2E], None]
) -> None:
    async with Fleet(tmp_path, redis_server) as fleet:
        as_account(fleet.fake)
        job = await fleet.start()
        await fleet.saved(SAVES // 4)
        redis_server.kill()
        redis_server.start()  # it has forgotten everything
        await fleet.saved(SAVES // 2)
        left = [*workers(job.pid), job.pid]
        for process in left:
            os.kill(process, signal.SIGKILL)
        await job.wait()
        job = await fleet.start()
        await job.wait()
        fleet.assert_each_is_saved_once()
