"""``python -m aioe2e.testing`` and the pytest fixtures, each in a process of its own."""

from __future__ import annotations

import importlib.metadata
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import attrs
import pytest

from aioe2e.testing import KINDS, FakeE2E, Fault, RecordedRequest, Rules
from aioe2e.testing import __main__ as command
from aioe2e.testing._options import faults_of, keywords_of, parser_of

RUNNER = """
import asyncio, inspect, pytest

@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        names = pyfuncitem._fixtureinfo.argnames
        asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
        return True
"""
TESTS = """
import asyncio, pytest
{mark}

@pytest.mark.fake_e2e(images=7, nodes=2)
async def test_the_marker_says_how_it_is_made(fake_e2e, e2e_session):
    images = await e2e_session.images.list()
    assert len(images) == 7
    await e2e_session.images.delete(images[0])
    assert len(fake_e2e.images) == 6
    assert len(fake_e2e.calls) >= 2

class TestMethods:
    async def test_a_method_is_fine_too(self, e2e_session, fake_e2e):
        assert len(await e2e_session.images.list()) == len(fake_e2e.images) == 20

async def test_it_may_close_the_session_itself(e2e_session):
    async with e2e_session:
        await e2e_session.images.list()

async def test_it_need_not_use_it(e2e_session):
    pass
"""
SYNC = """
import asyncio

def test_a_sync_test_runs_its_own_loop(fake_e2e, e2e_session):
    async def go():
        async with e2e_session:
            return await e2e_session.images.list()
    assert len(asyncio.run(go())) == len(fake_e2e.images)

def test_a_sync_test_need_not_use_it(e2e_session):
    assert not e2e_session.closed
"""


MARKS = """
import pytest

pytestmark = pytest.mark.fake_e2e(7, 3, latency=0.001)

@pytest.mark.fake_e2e(nodes=1, save_seconds=0)
class TestAll:
    @pytest.mark.fake_e2e(5)
    def test_all_marks_hold(self, fake_e2e):
        assert (len(fake_e2e.images), len(fake_e2e.nodes)) == (5, 1)

def test_one_mark_holds(fake_e2e):
    assert (len(fake_e2e.images), len(fake_e2e.nodes)) == (7, 3)

@pytest.mark.xfail(raises=pytest.UsageError, strict=True)
@pytest.mark.fake_e2e(1, 2, 3)
def test_a_mark_that_says_too_much(fake_e2e):
    pass
"""


def run_pytest(
    path: Path, *arguments: str, runner: str | None = None
) -> subprocess.CompletedProcess[str]:
    if not (settings := path / "pytest.ini").exists():
        settings.write_text(
            "[pytest]\n"
        )  # else those of this project would hold, where the path lies within it
    # The plugin is named here because the tests may run from a source tree, which has no entry points.
    plugins = [] if has_entry_point() else ["-p", "aioe2e.testing.pytest_plugin"]
    for other in {"asyncio", "anyio"} - {runner}:
        plugins += ["-p", f"no:{other}"]
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "error",
        *plugins,
        *arguments,
        str(path),
    ]
    where = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, filter(None, sys.path)))
    }
    return subprocess.run(
        line, capture_output=True, text=True, timeout=60, check=False, cwd=path, env=where
    )


#: A run of tests that use nothing of the library: what it has loaded when its tests run.
IDLE = """
import sys

def test_the_modules():
    print("loaded:", *(name for name in sys.modules if name.startswith("aioe2e.testing")))
"""


def test_pytest_loads_no_emulator_before_a_fixture_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(IDLE)
    result = run_pytest(tmp_path, "-s")
    assert result.returncode == 0, result.stdout + result.stderr
    [line] = [line for line in result.stdout.splitlines() if line.startswith("loaded:")]
    loaded = set(line.removeprefix("loaded:").split())
    assert loaded == {"aioe2e.testing", "aioe2e.testing.pytest_plugin"}


def has_entry_point() -> bool:
    points = importlib.metadata.entry_points(group="pytest11")
    return any(point.value.startswith("aioe2e") for point in points)


def test_the_fixtures_work_with_a_custom_runner_of_async_tests(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(RUNNER)
    (tmp_path / "test_it.py").write_text(TESTS.format(mark=""))
    result = run_pytest(tmp_path, "--strict-markers")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


def test_the_fixtures_work_in_sync_tests(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SYNC)
    result = run_pytest(tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_marks_of_a_module_a_class_and_a_test_are_combined(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(MARKS)
    result = run_pytest(tmp_path)
    assert "2 passed, 1 xfailed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("mode", ["strict", "auto"])
def test_the_fixtures_work_with_pytest_asyncio(tmp_path: Path, mode: str) -> None:
    (tmp_path / "test_it.py").write_text(TESTS.format(mark="pytestmark = pytest.mark.asyncio"))
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_default_fixture_loop_scope = function\n"
    )
    result = run_pytest(tmp_path, "--asyncio-mode", mode, runner="asyncio")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


def test_the_fixtures_work_with_anyio(tmp_path: Path) -> None:
    mark = "pytestmark = pytest.mark.anyio\n\n@pytest.fixture\ndef anyio_backend():\n    return 'asyncio'"
    (tmp_path / "test_it.py").write_text(TESTS.format(mark=mark))
    result = run_pytest(tmp_path, runner="anyio")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "4 passed" in result.stdout


def serve(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "aioe2e.testing", "--port", "0", *arguments]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_prints_instructions_and_ends_cleanly(stop: signal.Signals) -> None:
    with serve("--images", "9", "--nodes", "3", "--dialect", "current") as process:
        assert process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            greeting += process.stdout.readline()
        settings = dict(re.findall(r"export (\w+)=(\S+)", greeting))
        url = f"{settings['E2ECTL_MYACCOUNT_BASE_URL']}/images/saved-images/?apikey={settings['E2E_API_KEY']}"
        request = urllib.request.Request(
            url, headers={"Authorization": f"Bearer {settings['E2E_AUTH_TOKEN']}"}
        )
        with urllib.request.urlopen(request) as reply:
            assert reply.read().count(b'"image_id"') == 9
        process.send_signal(stop)
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    assert "9 saved images and 3 nodes" in greeting
    assert f"{settings['E2ECTL_MYACCOUNT_BASE_URL']}/\n" in greeting, (
        "the whole URL, never an origin"
    )
    assert settings["E2ECTL_MYACCOUNT_BASE_URL"].endswith("/myaccount/api/v1")
    assert settings["E2E_MYACCOUNT_BASE_URL"].endswith("/myaccount")


@pytest.mark.parametrize(("rate", "shown"), [("0.005", "0.5%"), ("0", "0%"), ("0.07", "7%")])
def test_the_command_prints_the_exact_share_of_faults(rate: str, shown: str) -> None:
    with serve("--faults", rate, "--host", "0.0.0.0") as process:
        assert process.stdout is not None
        greeting = ""
        while "Ctrl-C" not in greeting:
            greeting += process.stdout.readline()
        process.terminate()
        process.communicate(timeout=60)
    assert f"Faults: {shown} of the requests" in greeting
    assert "0.0.0.0" not in greeting
    assert "http://127.0.0.1:" in greeting


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "70000"], "--port: it must be a number from 0 to 65535"),
        (["--port", "-1"], "--port: it must be a number from 0 to 65535"),
        (["--port", "x"], "--port: it must be a number, not 'x'"),
        (["--images", "-3"], "--images: it must be a whole number of 0 or more"),
        (["--nodes", "-3"], "--nodes: it must be a whole number of 0 or more"),
        (["--images", "no-such.json"], "no-such.json: No such file"),
        (["--latency", "-1"], "--latency: it must be a number of seconds of 0 or more"),
        (["--latency", "nan"], "--latency: it must be a number of seconds"),
        (["--save-seconds", "inf"], "--save-seconds: it must be a number of seconds"),
        (["--rps", "0"], "--rps: it must be a number above 0"),
        (["--faults", "40"], "--faults: it must be a number between 0 and 1"),
        (["--dialect", "klingon"], "klingon"),
        (["--nodes-per-page", "0"], "--nodes-per-page: it must be a whole number of 1 or more"),
        (["--conflict-status", "200"], "--conflict-status: it must be an HTTP status"),
        (["--save-result", "Bad"], "--save-result: it must be 'Ready' or 'Error', not 'Bad'"),
        (["--locations", ","], "--locations: it must be at least one, or None for any"),
        (["--burst", "5"], "burst needs requests_per_second or requests_per_hour"),
        (["--fault", "rset"], "--fault: there is no fault 'rset'; did you mean 'reset'"),
        (["--fault", "renmae:reset"], "--fault: there is no action 'renmae'"),
        (["--fault", "reset@2"], "--fault: rate must be a number between 0 and 1"),
        (["--fault", "reset@much"], "--fault: the rate must be a number, not 'much'"),
        (["--host", "192.0.2.1"], "cannot listen on 192.0.2.1 port 0"),
    ],
)
def test_the_command_says_what_is_wrong_with_its_arguments(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in refused(arguments, capsys)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        command.main(["--port", "0", *arguments])
    assert end.value.code == 2
    return capsys.readouterr().err


def test_the_command_names_the_port_that_is_in_use(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(["--port", str(port)], capsys)
    assert (
        f"cannot listen on 127.0.0.1 port {port}: Address already in use; --port 0 takes any that is free"
        in said
    )


def test_the_command_names_a_file_that_is_not_json(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text("{")
    assert "bad.json is not a JSON file" in refused(
        ["--images", str(tmp_path / "bad.json")], capsys
    )


def test_every_rule_has_an_option_and_the_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as end:
        command.main(["--help"])
    said = capsys.readouterr().out
    assert end.value.code == 0
    assert max(map(len, said.splitlines())) < 80
    for field in attrs.fields(Rules):
        assert f"  --{field.name.replace('_', '-')}" in said
    assert "Refuse a name that another image has, for rename and" in said


def test_the_options_set_the_rules_and_the_faults() -> None:
    line = "--no-unique-names --read-only --projects 7,8 --locations Delhi --nodes-per-page 5"
    options = parser_of("x").parse_args([*line.split(), "--save-seconds", "0", "--date-offset=-5"])
    keywords = keywords_of(options)
    faults = keywords.pop("faults")
    assert keywords == {
        "host": "127.0.0.1",
        "port": 8400,
        "images": 20,
        "nodes": 5,
        "seed": 0,
        "latency": 0.0,
        "keep_calls": 1000,
        "keep_ledger": 1000,
        "unique_names": False,
        "read_only": True,
        "projects": ("7", "8"),
        "locations": ("Delhi",),
        "nodes_per_page": 5,
        "save_seconds": 0.0,
        "date_offset": -5.0,
    }
    assert FakeE2E(**keywords, faults=faults).project_id == 7
    options = parser_of("x").parse_args(["--fault", "rename:reset", "--fault", "500-json@0.5"])
    faults = faults_of(options)
    renaming = RecordedRequest(
        index=0,
        method="PUT",
        url="/myaccount/api/v1/images/1/",
        headers={},
        body=b'{"action_type": "rename", "name": "x"}',
    )
    listing = RecordedRequest(
        index=0, method="GET", url="/myaccount/api/v1/images/saved-images/", headers={}
    )
    assert {str(faults(renaming)) for _ in range(20)} >= {str(Fault("reset", True))}
    assert 5 < sum(faults(listing) is not None for _ in range(40)) < 35


def test_the_kinds_of_faults_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list-faults"]) == 0
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if not line.startswith(" ")] == list(KINDS)
