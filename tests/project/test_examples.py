"""The programs under examples/ do on the emulator what they say."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from patience import SOON
from snippets import INDIA, ROOT, load, use_in_environment

import aioe2e
from aioe2e import RetryPolicy, Status
from aioe2e.testing import FakeE2E, Fault, Faults

FULL = os.environ.get("AIOE2E_CHAOS") == "full"


def example(name: str) -> ModuleType:
    return load(ROOT / "examples" / f"{name}.py")


def nightly(server: str, age: int, **fields: Any) -> dict[str, Any]:
    """A wire object of a server's nightly image that is so many days old."""
    born = datetime.now(INDIA) - timedelta(days=age)
    return {
        "image_id": f"{server}-{age}",
        "name": f"{server}-nightly-{born:%Y%m%d}",
        "image_state": "Ready",
        "creation_time": f"{born:%d-%m-%Y %H:%M:%S}",
        **fields,
    }


class TestService:
    @asynccontextmanager
    async def serving(self, fake: FakeE2E, **options: Any) -> AsyncIterator[aiohttp.ClientSession]:
        runner = web.AppRunner(example("service").make_app(lambda: fake.session(**options)))
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            async with aiohttp.ClientSession(
                f"http://127.0.0.1:{runner.addresses[0][1]}"
            ) as client:
                yield client
        finally:
            await runner.cleanup()

    async def test_it_lists_renames_saves_and_deletes(self) -> None:
        async with FakeE2E(images=30, nodes=2) as fake, self.serving(fake) as client:
            async with client.get("/images", params={"name": "web-*"}) as reply:
                shown = await reply.json()
            assert {image["id"] for image in shown} == {
                key for key, image in fake.images.items() if image["name"].startswith("web-")
            }
            chosen = shown[0]["id"]
            async with client.put(f"/images/{chosen}", json={"name": "golden"}) as reply:
                assert reply.status == 200
            assert fake.images[chosen]["name"] == "golden"
            async with client.get(f"/images/{chosen}") as reply:
                assert (await reply.json())["name"] == "golden"
            async with client.post(
                f"/nodes/{next(iter(fake.nodes))}/images", json={"name": "new"}
            ) as reply:
                assert reply.status == 202
            for _ in range(2):
                async with client.delete(f"/images/{chosen}") as reply:
                    assert reply.status == 204
            assert chosen not in fake.images

    async def test_all_requests_share_one_session(self) -> None:
        async with FakeE2E() as fake, self.serving(fake) as client:
            for _ in range(3):
                async with client.get("/images") as reply:
                    assert reply.status == 200
            assert len({call.connection for call in fake.calls}) == 1

    async def test_it_answers_errors_with_a_status_that_fits(self) -> None:
        async with (
            FakeE2E() as fake,
            self.serving(fake, retry=RetryPolicy(attempts=1, look=0.05)) as client,
        ):
            images = list(fake.images)
            asked: list[tuple[str, str, Any]] = [
                ("PUT", "/images/1", {"name": "golden"}),
                ("PUT", f"/images/{images[0]}", {"name": fake.images[images[1]]["name"]}),
                ("PUT", f"/images/{images[0]}", {"name": " "}),
                ("PUT", f"/images/{images[0]}", ["no name"]),
            ]
            statuses = []
            for method, path, body in asked:
                async with client.request(method, path, json=body) as reply:
                    statuses.append(reply.status)
            assert statuses == [404, 409, 400, 400]

            fake.inject(Fault("reset", applied=False), "save")
            async with client.post(
                f"/nodes/{next(iter(fake.nodes))}/images", json={"name": "new"}
            ) as reply:
                assert reply.status == 504
            fake.inject("500-json", "list")
            async with client.get("/images") as reply:
                assert reply.status == 502
            fake.inject("429-json-long", "list")
            async with client.get("/images") as reply:
                assert reply.status == 429
                assert int(reply.headers["Retry-After"]) > 120


class TestNightlyRotation:
    async def rotate(self, session: aioe2e.Session, state: Path) -> int:
        rotation = example("nightly_rotation").Rotation(session, state, interval=0.02, patience=0.3)
        status: int = await rotation.rotate()
        return status

    async def test_it_saves_every_node_and_deletes_what_is_due(self, tmp_path: Path) -> None:
        old = [nightly("web", age) for age in (1, 2, 3, 4, 5, 6, 40, 50, 60)]
        kept = [
            nightly("web", 70, running_vms="1"),
            nightly("web", 80, image_state="Error"),
            *(nightly("db", age) for age in range(20, 29)),
            {**nightly("web", 90), "name": "web-by-hand"},
        ]
        nodes = [
            {"id": number, "name": name, "status": "Running"}
            for number, name in ((101, "web"), (102, "db"))
        ]
        async with (
            FakeE2E([*old, *kept], nodes, save_seconds=0.05) as fake,
            fake.session() as session,
        ):
            assert await self.rotate(session, tmp_path) == 0
            assert {entry.target for entry in fake.ledger if entry.action == "save"} == {
                "101",
                "102",
            }
            # Tonight's image and six more stay of the web server.
            assert {entry.target for entry in fake.ledger if entry.action == "delete"} == {
                "web-40",
                "web-50",
                "web-60",
            }

    async def test_started_again_after_it_was_through_it_changes_nothing(
        self, tmp_path: Path
    ) -> None:
        async with FakeE2E(nodes=3, save_seconds=0.05) as fake, fake.session() as session:
            assert await self.rotate(session, tmp_path) == 0
            done = len(fake.ledger)
            assert await self.rotate(session, tmp_path) == 0
            assert len(fake.ledger) == done
            assert not [*tmp_path.iterdir()]  # noqa: ASYNC240  # a test may block

    async def test_an_image_that_fails_is_told_and_nothing_of_its_server_is_deleted(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        old = [nightly(server, age) for server in ("web", "db") for age in range(31, 41)]
        nodes = [
            {"id": n, "name": name, "status": "Running"} for n, name in ((1, "web"), (2, "db"))
        ]
        async with (
            FakeE2E(old, nodes, save_seconds=0.05) as fake,
            fake.session() as session,
        ):
            fake.inject("412-json", "save", target="1")
            assert await self.rotate(session, tmp_path) == 1
            deleted = {str(entry.target) for entry in fake.ledger if entry.action == "delete"}
        assert {target.partition("-")[0] for target in deleted} == {"db"}
        assert "1 failed" in capsys.readouterr().out

    async def test_after_an_outage_it_says_that_it_is_to_be_started_again(
        self, tmp_path: Path
    ) -> None:
        async with FakeE2E([nightly("web", age) for age in range(31, 41)], nodes=2) as fake:
            fake.faults = Faults.on("delete", "503-json", times=None)
            async with fake.session(retry=RetryPolicy(attempts=1, look=0.1)) as session:
                assert await self.rotate(session, tmp_path) == 3
            fake.faults = None
            async with fake.session(retry=RetryPolicy(look=0.1)) as session:
                assert await self.rotate(session, tmp_path) == 0
            saves = [entry.target for entry in fake.ledger if entry.action == "save"]
            assert sorted(map(str, saves)) == sorted(fake.nodes)

    async def test_killed_once_a_lost_save_was_made_again_it_is_finished_by_its_next_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class KilledError(Exception):
            pass

        async def kill(*_: object) -> bool:
            raise KilledError

        async with FakeE2E(nodes=2, save_seconds=0.05) as fake:
            retry = RetryPolicy(base=0.01, look=0.1)
            fake.inject(Fault("reset", False), "save")
            with monkeypatch.context() as killed:
                killed.setattr(example("nightly_rotation").Rotation, "_is_ready", kill)
                async with fake.session(retry=retry) as session:
                    with pytest.raises(KilledError):
                        await self.rotate(session, tmp_path)
            assert len([*tmp_path.glob("saves-*")]) == 2  # noqa: ASYNC240  # a test may block
            async with asyncio.timeout(SOON), fake.session(retry=retry) as session:
                assert await self.rotate(session, tmp_path) == 0
            assert len([entry for entry in fake.ledger if entry.action == "save"]) == 2

    @pytest.mark.parametrize("seed", range(40 if FULL else 2))
    async def test_killed_at_any_moment_it_is_finished_by_its_next_start(
        self, seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        dice = random.Random(seed)
        old = [nightly("web", age) for age in range(31, 51)]
        nodes = [{"id": 100 + n, "name": f"web{n or ''}", "status": "Running"} for n in range(6)]
        # Names are not unique here: so a save done twice would show.
        async with FakeE2E(
            old, nodes, latency=(0.0, 0.02), save_seconds=0.1, unique_names=False
        ) as fake:
            use_in_environment(monkeypatch, fake)
            kills, status = 0, None
            while status is None:
                left = dice.randrange(1, 25) if kills < 6 else 0
                status = await self.child(fake, tmp_path, kill_at=left)
                kills += 1
            await fake.settle()
            saves = Counter(str(entry.target) for entry in fake.ledger if entry.action == "save")
            images = {str(image["image_id"]) for image in fake.images.values()}
        assert status == 0
        assert len(saves) == 6
        assert set(saves.values()) == {1}
        # Tonight's image and six more stay.
        kept = {image for image in images if image.startswith("web-")}
        assert kept == {f"web-{age}" for age in range(31, 37)}

    async def child(self, fake: FakeE2E, state: Path, *, kill_at: int) -> int | None:
        """Run the program, and kill it when so many requests have come; its exit status, if any."""
        begun = len(fake.calls)
        program = (
            "import aioe2e, runpy, sys; sys.argv = sys.argv[1:];"
            "aioe2e.Session.__init__.__kwdefaults__['retry'] = aioe2e.RetryPolicy(base=0.01, look=0.2);"
            "runpy.run_path(sys.argv[0], run_name='__main__')"
        )
        example = ROOT / "examples" / "nightly_rotation.py"
        command = ["-c", program, str(example), "--go", "--state", str(state)]
        variables = {
            "PYTHONPATH": os.pathsep.join(sys.path),
            "E2E_API_KEY": fake.credentials.api_key,
            "E2E_AUTH_TOKEN": str(fake.credentials.auth_token),
            "E2E_MYACCOUNT_BASE_URL": fake.url,
        }
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            "--interval=0.02",
            "--patience=0.5",
            env=os.environ | variables,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        ended = asyncio.create_task(child.communicate())
        while not ended.done():
            if kill_at and len(fake.calls) - begun >= kill_at:
                child.kill()
                await ended
                return None
            await asyncio.sleep(0.002)
        _, complaints = await ended
        assert b"Traceback" not in complaints, complaints.decode()
        return child.returncode

    def test_without_go_it_only_shows_the_plan(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(sys, "argv", ["nightly_rotation.py"])
        with FakeE2E([nightly("web", age) for age in range(31, 41)]) as fake:
            use_in_environment(monkeypatch, fake)
            assert asyncio.run(example("nightly_rotation").main()) == 0
            assert not fake.ledger
        assert capsys.readouterr().out.startswith("Plan: 3 deletes")


class TestBot:
    async def test_it_answers_while_a_run_goes_on(self) -> None:
        async with FakeE2E(images=60, latency=0.04) as fake, fake.session() as session:
            bot = example("bot").Bot(session)
            assert "All of them?" in await bot.answer("delete *")
            assert await bot.answer("yes") == "on it"
            while bot._progress is None:  # no event tells
                await asyncio.sleep(0.005)
            assert " of 60, 0 failed" in await bot.answer("status")
            assert 0 < len((await bot.answer("images *")).splitlines()) < 60
            assert not bot.run.done()
            await bot.run
            assert await bot.answer("status") == "60 steps: 60 done"
            assert not fake.images

    async def test_stop_ends_the_run_between_two_images(self) -> None:
        async with FakeE2E(images=60, latency=0.02) as fake, fake.session() as session:
            bot = example("bot").Bot(session)
            await bot.answer("delete *")
            await bot.answer("yes")
            while not fake.ledger:  # no event tells
                await asyncio.sleep(0.005)
            await bot.answer("stop")
            report = await bot.run
            assert report.counts()[Status.SKIPPED] == len(fake.images) > 0
            assert report.counts()[Status.DONE] == len(fake.ledger) > 0

    async def test_nothing_is_deleted_without_a_yes(self) -> None:
        async with FakeE2E(images=5) as fake, fake.session() as session:
            bot = example("bot").Bot(session)
            assert "yes" in await bot.answer("yes")  # the help
            await bot.answer("delete *")
            assert await bot.answer("delete nothing-like-this") == "nothing to delete"
            await bot.answer("yes")
            assert await bot.answer("status") == "idle"
            assert not fake.ledger

    async def test_it_saves_a_node_and_says_when_the_image_is_ready(self) -> None:
        async with FakeE2E(nodes=1, save_seconds=0.02) as fake, fake.session() as session:
            bot = example("bot").Bot(session, interval=0.02)
            [node] = fake.nodes
            assert await bot.answer(f"save {node} golden") == "golden is ready"
            assert [entry.action for entry in fake.ledger] == ["save"]

    def test_it_talks_to_the_terminal_until_bye(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with FakeE2E(images=12) as fake:

            class Typist:
                """Says goodbye when something has been deleted."""

                lines = iter(["images web-01-*\n", "delete web-01-*\n", "yes\n", "bye\n"])

                def readline(self) -> str:
                    line = next(self.lines)
                    while line == "bye\n" and not fake.ledger:
                        time.sleep(0.005)
                    return line

            monkeypatch.setattr(sys, "stdin", Typist())
            use_in_environment(monkeypatch, fake)
            asyncio.run(example("bot").main())
            assert {entry.action for entry in fake.ledger} == {"delete"}
            assert all("web-01" in entry.name for entry in fake.ledger)
        assert "READY" in capsys.readouterr().out


class TestRenameRule:
    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["rename_rule.py", *arguments])
        status: int = example("rename_rule").main()
        return status

    @pytest.fixture(autouse=True)
    def fake(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
        monkeypatch.chdir(tmp_path)
        with FakeE2E(images=40) as fake:
            use_in_environment(monkeypatch, fake)
            yield fake

    def test_it_renames_what_matches_and_forgets_the_journal(
        self, fake: FakeE2E, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert self.run(monkeypatch, "ci-(.*)", r"archive-\1", "--go") == 0
        names = [image["name"] for image in fake.images.values()]
        assert not [name for name in names if name.startswith("ci-")]
        assert len([name for name in names if name.startswith("archive-")]) == 4
        assert not Path("rename.journal").exists()

    def test_without_go_it_only_shows_the_plan(
        self, fake: FakeE2E, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, "ci-(.*)", r"archive-\1") == 0
        assert capsys.readouterr().out.startswith("Plan: 4 renames")
        assert not fake.ledger

    def test_the_whole_name_is_matched_and_made_anew(
        self, fake: FakeE2E, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = {key: image["name"] for key, image in fake.images.items()}
        assert self.run(monkeypatch, "(.*)", r"old-\1", "--go") == 0
        assert {key: image["name"] for key, image in fake.images.items()} == {
            k: f"old-{v}" for k, v in before.items()
        }

    def test_killed_after_the_last_step_it_only_tidies_up(
        self, fake: FakeE2E, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as killed:
            killed.setattr(Path, "unlink", lambda _: sys.exit("killed"))
            with pytest.raises(SystemExit):
                self.run(monkeypatch, "ci-(.*)", r"archive-\1", "--go")
        assert Path("rename.journal").exists()
        done = len(fake.ledger)
        assert self.run(monkeypatch, "ci-(.*)", r"archive-\1", "--go") == 0
        assert len(fake.ledger) == done
        assert not Path("rename.journal").exists()

    def test_a_rule_that_cannot_be_is_explained(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert self.run(monkeypatch, "web-(", "x") == 2
        assert "unterminated" in capsys.readouterr().err

    def test_after_an_outage_it_goes_on_where_it_was(
        self, fake: FakeE2E, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        defaults = aioe2e.Session.__init__.__kwdefaults__
        assert defaults is not None
        with monkeypatch.context() as hasty:
            hasty.setitem(defaults, "retry", RetryPolicy(attempts=1, look=0.1))
            fake.faults = Faults.on("rename", "503-json", skip=2, times=None)
            assert self.run(monkeypatch, "ci-(.*)", r"archive-\1", "--go") == 1
        assert Path("rename.journal").exists()
        assert len(fake.ledger) == 2
        fake.faults = None
        assert self.run(monkeypatch, "ci-(.*)", r"archive-\1", "--go") == 0
        assert len({entry.target for entry in fake.ledger}) == len(fake.ledger) == 4
        assert not Path("rename.journal").exists()
