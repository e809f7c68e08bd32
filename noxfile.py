"""The one door to everything that checks the project: ``python -m nox -l`` lists it."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "virtualenv"
nox.options.sessions = ["tests", "lint", "typing"]
nox.options.error_on_missing_interpreters = False

PROJECT = nox.project.load_toml("pyproject.toml")
ALL = nox.project.python_versions(PROJECT)


def _installed(versions: list[str]) -> list[str]:
    """The supported Pythons that this machine has; the running one is always among them."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [
        version for version in versions if version == running or shutil.which(f"python{version}")
    ]


PYTHONS = _installed(ALL) or [f"{sys.version_info.major}.{sys.version_info.minor}"]


def _group(session: nox.Session, *names: str) -> None:
    for name in names:
        session.install(*nox.project.dependency_groups(PROJECT, name))


def _run_tests(session: nox.Session, *arguments: str) -> None:
    """Run the tests against the installed wheel: ``-P`` keeps the checkout out of the import
    path."""
    session.run(
        "python", "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments, *session.posargs
    )


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The test suite with branch coverage, on every supported Python that is there."""
    session.install(".")
    _group(session, "tests", "bench")
    data = Path(session.create_tmp()) / "coverage"
    data.mkdir(exist_ok=True)
    session.env["COVERAGE_FILE"] = str(data / ".coverage")
    session.run("python", "-P", "-m", "coverage", "erase")
    session.run(
        "python", "-P", "-m", "coverage", "run", "-m", "pytest", "-p", "no:cacheprovider", *session.posargs,
        silent=False,
    )  # fmt: skip
    session.run("python", "-P", "-m", "coverage", "combine", "--quiet")
    if not session.posargs:
        session.run("python", "-P", "-m", "coverage", "report")


@nox.session(python=PYTHONS[0])
def tests_min(session: nox.Session) -> None:
    """The test suite with the oldest run-time dependencies that are promised to work."""
    session.install(".", "aiohttp==3.12.0", "attrs==24.1.0", "backoff==2.2.0", "cattrs==24.1.0")
    _group(session, "tests", "bench")
    _run_tests(session)


@nox.session(python=PYTHONS[-1])
def backoff_fork(session: nox.Session) -> None:
    """The test suite with python-backoff, the maintained fork under the same import name."""
    session.install(".")
    session.run("python", "-m", "pip", "uninstall", "--yes", "backoff")
    session.install("python-backoff")
    _group(session, "tests", "bench")
    _run_tests(session)


@nox.session
def chaos(session: nox.Session) -> None:
    """The whole fault campaign, of which the tests run a small part: several minutes."""
    session.install(".")
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
    session.install(".")
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
        *map(str, Path().glob("*.md")),
    )


@nox.session
def typing(session: nox.Session) -> None:
    """mypy and pyright, both strict, and how complete the public types are."""
    session.install(".", "nox")
    _group(session, "typing")
    session.run("mypy")
    session.run("pyright")
    session.run("pyright", "--verifytypes", "aioe2e", "--ignoreexternal")


@nox.session
def docs(session: nox.Session) -> None:
    """The pages and the reference as a site, in the folder that it names at the end."""
    session.install(".")
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
def bench(session: nox.Session) -> None:
    """Speed and memory, as ratios against named peers in one interleaved run."""
    session.install(".")
    _group(session, "bench")
    session.run("python", "-m", "benchmarks", *session.posargs)
