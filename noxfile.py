"""The one door to everything that checks the project: ``python -m nox -l`` lists it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import sys
import zipfile
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests", "lint", "typing"]
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
ALL = nox.project.python_versions(PROJECT)
EXTRAS = ",".join(PROJECT["project"]["optional-dependencies"])


def _installed(versions: list[str]) -> list[str]:
    """The supported Pythons that this machine has; the running one is always among them."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        version for version in versions if version == running or shutil.which(f"python{version}")
    ]


def _oldest() -> list[str]:
    """The oldest version of every dependency and extra that is promised to work."""
    extras = PROJECT["project"]["optional-dependencies"]
    promised = [*PROJECT["project"]["dependencies"], *itertools.chain(*extras.values())]
    pins = {}
    for requirement in promised:
        found = re.match(r"([\w-]+)>=([\d.]+)", requirement)
        assert found is not None, requirement
        pins[found[1]] = found[2]
    # The tests' packages of OpenTelemetry come in step with its API: 1.30 and 0.51b0.
    major, minor, *_ = pins["opentelemetry-api"].split(".")
    pins["opentelemetry-sdk"] = f"{major}.{minor}"
    for companion in ("exporter-prometheus", "instrumentation-aiohttp-client"):
        pins[f"opentelemetry-{companion}"] = f"0.{int(minor) + 21}b0"
    return [f"{name}=={version}" for name, version in pins.items()]


PYTHONS = _installed(ALL) or [f"{sys.version_info.major}.{sys.version_info.minor}"]


def _group(session: nox.Session, *names: str) -> None:
    for name in names:
        session.install(*nox.project.dependency_groups(PROJECT, name))


def _pytest(session: nox.Session) -> list[str]:
    """How the tests are run: the whole suite in several processes, for it waits a lot.

    The tests wait for events and pass on a busy machine. CI cannot be looked at while it runs, so
    there a test that fails is run once more, and the report counts it as rerun.
    """
    workers = [] if session.posargs else ["--numprocesses=4", "--dist=worksteal"]
    again = ["--reruns=1"] if os.environ.get("CI") else []
    return ["pytest", "-p", "no:cacheprovider", *workers, *again, *session.posargs]


def _run_tests(session: nox.Session) -> None:
    """Run the tests against the installed wheel: ``-P`` keeps the checkout out of the import
    path."""
    session.run("python", "-P", "-m", *_pytest(session))


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite with branch coverage, on every supported Python that is there."""
    session.install(f".[{EXTRAS}]")
    _group(session, "tests", "bench")
    data = Path(session.create_tmp()) / "coverage"
    data.mkdir(exist_ok=True)
    session.env["COVERAGE_FILE"] = str(data / ".coverage")
    session.run("python", "-P", "-m", "coverage", "erase")
    session.run("python", "-P", "-m", "coverage", "run", "-m", *_pytest(session), silent=False)
    session.run("python", "-P", "-m", "coverage", "combine", "--quiet")
    if not session.posargs:
        session.run("python", "-P", "-m", "coverage", "report")


@nox.session(python=PYTHONS[0])
def tests_min(session: nox.Session) -> None:
    """The test suite with the oldest dependencies and extras that are promised to work."""
    groups = nox.project.dependency_groups(PROJECT, "tests", "bench")
    session.install(f".[{EXTRAS}]", *_oldest(), *groups)
    _run_tests(session)


@nox.session(python=PYTHONS[-1])
def backoff_fork(session: nox.Session) -> None:
    """The test suite with python-backoff, the maintained fork under the same import name."""
    session.install(f".[{EXTRAS}]")
    session.run("python", "-m", "pip", "uninstall", "--yes", "backoff")
    session.install("python-backoff")
    _group(session, "tests", "bench")
    _run_tests(session)


@nox.session
def chaos(session: nox.Session) -> None:
    """The whole fault campaign, of which the tests run a small part: several minutes."""
    session.install(f".[{EXTRAS}]")
    _group(session, "tests")
    session.env["AIOE2E_CHAOS"] = "full"
    session.run(
        "python",
        "-P",
        "-m",
        "pytest",
        "-p",
        "no:cacheprovider",
        "tests/emulated/test_campaign.py",
        *session.posargs,
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, spelling, and the direction of imports."""
    session.install(f".[{EXTRAS}]")
    _group(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports", "--no-cache")
    session.run(
        "codespell",
        "aioe2e",
        "tests",
        "benchmarks",
        "examples",
        "docs",
        ".github",
        *map(str, Path().glob("*.md")),
    )


@nox.session
def typing(session: nox.Session) -> None:
    """mypy and pyright, both strict, and how complete the public types are."""
    session.install(f".[{EXTRAS}]", "nox")
    _group(session, "typing")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "aioe2e", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """The pages and the reference as a site, in the folder that it names at the end."""
    session.install(f".[{EXTRAS}]")
    _group(session, "docs")
    site = Path(session.create_tmp()) / "site"
    session.run(
        "python",
        "-P",
        "-m",
        "sphinx",
        "--fail-on-warning",
        "--keep-going",
        "--quiet",
        "docs",
        str(site),
    )
    session.log("the site is in %s", site)


@nox.session
def build(session: nox.Session) -> None:
    """Build the two archives into ``dist/``, and check what is in them."""
    session.install("build", "twine")
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build")
    session.run("python", "-m", "twine", "check", "--strict", *map(str, Path("dist").iterdir()))
    [wheel] = Path("dist").glob("*.whl")
    strangers = [
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not re.match(r"aioe2e(-[^/]+\.dist-info)?/", name) or "__pycache__" in name
    ]
    if strangers:
        session.error(f"does not belong into a wheel: {strangers}")
    session.install("--force-reinstall", f"{wheel}[{EXTRAS}]")
    session.run("python", "-P", "-m", "aioe2e", "--version")
    session.run("python", "-P", "-m", "aioe2e", "demo")


@nox.session
def screens(session: nox.Session) -> None:
    """The pictures of the page on the command line, from what it prints today."""
    session.install(f".[{EXTRAS}]")
    session.run("python", "docs/screens.py")


@nox.session
def bench(session: nox.Session) -> None:
    """Speed and memory, as ratios against named peers in one interleaved run."""
    session.install(f".[{EXTRAS}]")
    _group(session, "bench")
    page = "docs/benchmarks"
    written = ["--json", f"{page}.json", "--svg", f"{page}.svg", "--page", f"{page}.md"]
    session.run("python", "-m", "benchmarks", *(session.posargs or written))
