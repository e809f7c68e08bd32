"""Journaled runs of a child process that is killed at random moments and started again until it is through."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import aioe2e
from aioe2e import Plan, SavedImage, Status, Step
from aioe2e.bulk import journal_reader as journal_file
from aioe2e.testing import Call, FakeE2E, Fault

FULL = os.environ.get("AIOE2E_CHAOS") == "full"
CHILD = Path(__file__).with_name("kill_child.py")
SEEDS = range(25 if FULL else 2)
#: In the reduced set a child is killed so often at the most, and then left to finish.
MOST_KILLS = 40 if FULL else 5

pytestmark = pytest.mark.skipif(
    not hasattr(os, "kill") or sys.platform == "win32", reason="needs SIGKILL"
)


def images() -> list[dict[str, Any]]:
    return [{"image_id": str(n), "name": f"n{n}", "image_state": "Ready"} for n in range(1, 25)]


def mixed_plan(fake: FakeE2E) -> tuple[Plan, dict[str, str]]:
    """A long cycle, two swaps, a chain, deletes and saves; and the names that the images should have in the end."""
    known = [SavedImage(image_id=i, name=str(image["name"])) for i, image in fake.images.items()]
    cycle, swaps, chain, doomed = known[:6], (known[6:8], known[8:10]), known[10:14], known[14:20]
    pairs = [(image, other.name) for ring in (cycle, *swaps) for image, other in rings(ring)]
    pairs += [(chain[-1], "end-of-chain")]
    pairs += [(image, after.name) for image, after in itertools.pairwise(chain)]
    steps = [Step.rename(image, name) for image, name in pairs]
    steps += [Step.delete(image) for image in doomed]
    steps += [Step.save(node, f"of-{node}") for node in fake.nodes]
    wanted = {image.image_id: image.name for image in known} | {
        image.image_id: name for image, name in pairs
    }
    return Plan.of(steps), {
        key: name for key, name in wanted.items() if key not in {d.image_id for d in doomed}
    }


def rings(ring: list[SavedImage]) -> list[tuple[SavedImage, SavedImage]]:
    return list(zip(ring, ring[1:] + ring[:1], strict=True))


class Killer:
    """Tells when to kill: at the arrival of one more write, or a moment later; sometimes it stays without a reply."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.now = asyncio.Event()
        self.left = 0

    def aim(self) -> None:
        self.now = asyncio.Event()
        self.left = self.dice.randrange(1, 9)

    def __call__(self, call: Call) -> Fault | None:
        if call.action not in ("rename", "delete", "save"):
            return None
        self.left -= 1
        if self.left != 0:
            return None
        asyncio.get_running_loop().call_later(self.dice.choice((0, 0, 0.002, 0.01)), self.now.set)
        return self.dice.choice(
            (None, Fault("hang", True), Fault("hang", False), Fault("hang", "late", late=0.02))
        )


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_run_is_finished_by_those_that_resume_it(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    plan_file, journal, report_file = tmp_path / "plan", tmp_path / "journal", tmp_path / "report"
    # Names are not unique here: so a save done twice would show.
    fake = FakeE2E(
        images(), nodes=6, seed=seed, latency=(0.0, 0.01), save_seconds=0.0, unique_names=False
    )
    async with fake:
        plan, wanted = mixed_plan(fake)
        plan_file.write_text(json.dumps(plan.to_dict()))
        killer = Killer(dice)
        kills = 0
        while not report_file.exists():
            fake.faults = killer if kills < MOST_KILLS else None
            killer.aim()
            kills += await run_child(fake, killer, plan_file, journal, report_file)
            await fake.settle()
            assert kills < 60, "it never ends"
        left = Plan.resume(journal)
        _, records = journal_file.read(journal)
        saved = Counter(line.name for line in fake.ledger if line.action == "save")
        originals = {
            key: str(image["name"]) for key, image in fake.images.items() if int(key) <= 24
        }
    assert kills >= 3
    assert originals == wanted
    assert max(saved.values()) == 1
    # Every step has its word; what is not done is a save of which nobody can know.
    assert {step.index for step in plan} == set(records)
    assert not len(left)
    unknown = {step.index for step in left.unknown}
    assert {
        index for index, known in records.items() if known.status not in ("done", "unchanged")
    } == unknown
    saves = {step.index: str(step.name) for step in plan if step.target in fake.nodes}
    assert unknown <= set(saves)
    assert all(saved[name] == 1 for index, name in saves.items() if index not in unknown)
    last = json.loads(report_file.read_text())
    assert {outcome["status"] for outcome in last["outcomes"]} <= {"done", "unchanged", "unknown"}


async def run_child(fake: FakeE2E, killer: Killer, *files: Path) -> bool:
    """Let the child work until it ends by itself or is killed; whether it was killed."""
    credentials = fake.credentials
    assert isinstance(credentials.auth_token, str)
    arguments = [fake.url, credentials.api_key, credentials.auth_token, *map(str, files)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), *arguments, env=environment, stderr=asyncio.subprocess.PIPE
    )
    ended = asyncio.create_task(child.communicate())
    told = asyncio.create_task(killer.now.wait())
    await asyncio.wait([ended, told], return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    killed = not ended.done()
    if killed:
        child.kill()
    _, complaints = await ended
    assert killed or child.returncode == 0, complaints.decode()
    return killed


async def test_a_swap_that_was_killed_between_its_halves_is_finished(tmp_path: Path) -> None:
    fake = FakeE2E(images()[:2], nodes=0)
    async with fake:
        known = [
            SavedImage(image_id=i, name=str(image["name"])) for i, image in fake.images.items()
        ]
        plan = Plan.rename([(known[0], "n2"), (known[1], "n1")])
        (via,) = (step for step in plan if step.via)
        plan_file, journal, report_file = (
            tmp_path / "plan",
            tmp_path / "journal",
            tmp_path / "report",
        )
        plan_file.write_text(json.dumps(plan.to_dict()))
        killer = Killer(random.Random(0))
        killer.dice = random.Random(0)
        for cut_at, applied in ((2, False), (1, True)):

            def choose(call: Call, cut_at: int = cut_at, applied: bool = applied) -> Fault | None:
                killer.left -= call.action == "rename"
                if killer.left == -cut_at:
                    killer.now.set()
                    return Fault("hang", applied)
                return None

            killer.now, killer.left = asyncio.Event(), 0
            fake.faults = choose
            assert await run_child(fake, killer, plan_file, journal, report_file)
        assert str(fake.images[via.target]["name"]) == via.via
        left = Plan.resume(journal)
        assert [warning for warning in left.warnings if str(via.via) in warning]
        fake.faults = None
        killer.now = asyncio.Event()
        assert not await run_child(fake, killer, plan_file, journal, report_file)
        assert {i: image["name"] for i, image in fake.images.items()} == {"1": "n2", "2": "n1"}
        assert not Plan.resume(journal)
    assert Status.DONE in {Status(known.status) for known in journal_file.read(journal)[1].values()}
    assert aioe2e.Plan.resume(journal).unknown == ()
