"""What an import brings along, and what the package calls its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import aioe2e

PACKAGE = Path(aioe2e.__file__).parent
#: Rooms that need an extra, or that no program needs: what they import is their own affair.
_OUTSIDE = {"cli", "fleet", "otel", "testing"}
CORE = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if path.relative_to(PACKAGE).with_suffix("").parts[0] not in _OUTSIDE
)

#: What the documents promise; anything more is a matter of taste, anything less is a broken promise.
PROMISED = [
    "APIError",
    "ActionResult",
    "AttemptTimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "BulkError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "ConnectionLostError",
    "Credentials",
    "DeadlineExceededError",
    "Dialect",
    "E2EError",
    "ImageFailedError",
    "ImageState",
    "Limits",
    "NotFoundError",
    "Outcome",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "Plan",
    "Progress",
    "RateLimitedError",
    "Report",
    "ResponseError",
    "RetryPolicy",
    "SaveAction",
    "SavedImage",
    "ServerError",
    "Session",
    "SessionError",
    "Status",
    "Step",
    "Timeouts",
    "TransportError",
    "UsageError",
    "WaitTimeoutError",
    "Reply",
    "SkippedError",
]


def imported(path: Path) -> set[str]:
    """The top-level packages that a module imports while the program runs."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


def fresh(code: str) -> str:
    """What a new interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        cwd=PACKAGE.parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("name", PROMISED)
def test_every_promised_name_is_public(name: str) -> None:
    assert name in aioe2e.__all__
    assert getattr(aioe2e, name).__module__.startswith("aioe2e")


def test_the_public_names_are_in_alphabetical_order_and_there() -> None:
    assert sorted(aioe2e.__all__) == list(aioe2e.__all__)
    assert len(set(aioe2e.__all__)) == len(aioe2e.__all__)
    for name in aioe2e.__all__:
        assert hasattr(aioe2e, name)
    assert set(aioe2e.__all__) >= {"__version__"}


def test_nothing_but_public_names_and_modules_stands_in_the_package() -> None:
    extra = {
        name
        for name, value in vars(aioe2e).items()
        if not name.startswith("_") and type(value).__name__ != "module"
    }
    assert extra <= set(aioe2e.__all__)


def test_an_import_loads_neither_emulator_nor_command_line_nor_extras() -> None:
    code = "import aioe2e, sys; print(*sorted(sys.modules))"
    loaded = set(fresh(code).split())
    unwanted = {"argparse", "rich", "tqdm", "pytest", "hypothesis", "requests", "aiohttp.web_app"}
    assert not {name for name in loaded if name.startswith("aioe2e.testing")}
    assert "aioe2e.__main__" not in loaded
    bare = set(
        fresh("import aiohttp, attrs, cattrs, backoff, sys; print(*sorted(sys.modules))").split()
    )
    assert not (unwanted & loaded) - bare


def test_a_session_is_built_without_a_loop_and_without_a_warning() -> None:
    code = (
        "import aioe2e\n"
        "session = aioe2e.Session(aioe2e.Credentials(api_key='k3y-of-the-user', auth_token='t0ken-of-the-user'))\n"
        "session.with_options(retry=aioe2e.RetryPolicy.none()).images\n"
        "del session\n"
        "print('fine')\n"
    )
    assert fresh(code).strip() == "fine"


def test_an_import_starts_nothing() -> None:
    code = "import threading, aioe2e, asyncio; print(threading.active_count())"
    assert fresh(code).strip() == "1"


@pytest.mark.parametrize(
    ("package", "home"),
    [
        ("aiohttp", {"failure", "reply", "transport", "watched", "write"}),
        ("backoff", {"retry"}),
        ("cattrs", {"codec"}),
    ],
)
def test_each_third_party_package_has_one_home(package: str, home: set[str]) -> None:
    assert {path.stem for path in CORE if package in imported(path)} == home


def test_the_core_needs_nothing_but_its_four_dependencies() -> None:
    allowed = {"aioe2e", "aiohttp", "attrs", "backoff", "cattrs", "yarl", *sys.stdlib_module_names}
    for path in CORE:
        assert imported(path) <= allowed, path.name


def test_the_core_does_not_import_the_emulator() -> None:
    for path in CORE:
        if path.stem in ("__main__", "_demo"):
            continue
        assert "testing" not in {
            part
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
            for part in (node.module or "").split(".")
        }, path.name


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
