"""The exports that the command prints are all that a program needs: every example runs on them as it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    """The environment of a program, with what the command has printed."""
    line = [sys.executable, "-m", "aioe2e.testing", "--port", "0", "--images", "9"]
    line += ["--save-seconds", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            greeting += process.stdout.readline()
        exports = dict(re.findall(r"export (\w+)=(\S+)", greeting))
        mine = {name: value for name, value in os.environ.items() if not name.startswith("E2E")}
        path = {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))}
        yield mine | path | exports
        process.terminate()
        process.communicate(timeout=60)


def run(
    environment: dict[str, str], where: Path, *line: str, said: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *line],
        env=environment,
        cwd=where,
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_session_from_the_environment_finds_the_emulator(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = (
        "import asyncio, aioe2e\n"
        "async def main():\n"
        "    async with aioe2e.Session.from_env() as session:\n"
        "        return len(await session.images.list())\n"
        "print(asyncio.run(main()))"
    )
    result = run(environment, tmp_path, "-c", script)
    assert (result.stdout.strip(), result.stderr) == ("9", "")


LINES = {
    "rename_rule": ["^web-", "www-"],
    "nightly_rotation": [],
    "bot": [],
}


@pytest.mark.parametrize("name", LINES)
def test_an_example_runs_unchanged_with_the_printed_exports(
    environment: dict[str, str], tmp_path: Path, name: str
) -> None:
    result = run(
        environment, tmp_path, str(EXAMPLES / f"{name}.py"), *LINES[name], said="list\nbye\n"
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout
    assert result.stdout


def test_the_example_service_runs_with_the_printed_exports(
    environment: dict[str, str], tmp_path: Path
) -> None:
    script = (
        "import asyncio, sys, aiohttp\n"
        "from aiohttp import web\n"
        f"sys.path.insert(0, {str(EXAMPLES)!r})\n"
        "import service\n"
        "async def main():\n"
        "    runner = web.AppRunner(service.make_app())\n"
        "    await runner.setup()\n"
        "    await web.TCPSite(runner, '127.0.0.1', 0).start()\n"
        "    url = f'http://127.0.0.1:{runner.addresses[0][1]}/images'\n"
        "    async with aiohttp.ClientSession() as client, client.get(url) as reply:\n"
        "        print(reply.status, len(await reply.json()))\n"
        "    await runner.cleanup()\n"
        "asyncio.run(main())"
    )
    result = run(environment, tmp_path, "-c", script)
    assert result.stdout.split() == ["200", "9"], result.stderr


def test_every_example_is_tried() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.py")}
    assert names == {*LINES, "service"}
