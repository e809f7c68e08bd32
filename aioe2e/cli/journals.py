"""Journals of the command line: where they are kept, and how to go on with what they belong to."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import attrs

from aioe2e import Plan

from .exits import CommandError, Exit
from .options import Account, Run

__all__ = ["Journal", "Origin", "find_journal", "origin_of", "start_journal"]

#: Runs of more steps than this keep a journal without being told to.
_MANY: Final = 20
_VERSION: Final = 1
_SUFFIX: Final = ".command"


@attrs.frozen(kw_only=True)
class Origin:
    """The command that a journal belongs to: what ``images resume`` has to know of it."""

    command: str
    wait: bool = False
    wait_timeout: float | None = None
    missing_ok: bool = False
    verify: bool = False
    #: The options that say which account was meant. None of them is a secret.
    account: Mapping[str, Any] = attrs.field(factory=dict[str, Any])
    #: What a rotation does once everything is saved.
    rotation: Mapping[str, Any] | None = None

    def rotating(self, rotation: Mapping[str, Any]) -> Origin:
        """The same command, with what its rotation does."""
        return attrs.evolve(self, rotation=rotation)

    @staticmethod
    def account_of(account: Account) -> dict[str, Any]:
        """The options of an account that a later command needs."""
        found = {
            "profile": account.profile,
            "project_id": account.project_id,
            "location": list(account.location),
            "base_url": account.base_url,
            "dialect": account.dialect,
            "trust_env": account.trust_env,
        }
        return {key: value for key, value in found.items() if value}

    def merged(self, account: Account) -> Account:
        """The account of the journal; what is given now stands above it."""
        kept = dict(self.account)
        if "location" in kept:
            kept["location"] = tuple(kept["location"])
        now = attrs.asdict(account, recurse=False)
        return Account(**{**now, **{key: kept[key] for key in kept if not now.get(key)}})


@attrs.frozen
class Journal:
    """The journal of a run."""

    path: Path
    #: Whether it is in the folder of the command line.
    is_ours: bool = False

    @property
    def resume_line(self) -> str:
        """The command that goes on with it: the name is enough where it was not chosen."""
        name = self.path.name if self.is_ours else str(self.path)
        return f"aioe2e images resume {shlex.quote(name)}"

    def remember(self, origin: Origin) -> None:
        """Write down what command it belongs to, for its owner only."""
        text = json.dumps({"version": _VERSION, **attrs.asdict(origin)}, indent=1)
        place = _beside(self.path)
        with contextlib.suppress(FileNotFoundError):
            place.unlink()
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)

    def remove(self) -> None:
        """Remove it: all is done."""
        for place in (self.path, _beside(self.path)):
            with contextlib.suppress(FileNotFoundError):
                place.unlink()


def _beside(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def folder(environ: Mapping[str, str]) -> Path:
    """Where journals are kept: ``$XDG_STATE_HOME/aioe2e``."""
    home = environ.get("XDG_STATE_HOME")
    return (Path(home) if home else Path.home() / ".local" / "state") / "aioe2e"


def find_journal(name: str | None, environ: Mapping[str, str]) -> Journal:
    """The journal of that name: a file, or one in the folder of the command line.

    Raises:
        CommandError: There is none.
    """
    place = folder(environ)
    if name is not None:
        for path, is_ours in ((Path(name), False), (place / name, True)):
            if path.is_file():
                return Journal(path.absolute(), is_ours=is_ours)
    known = [path.name for path in sorted(place.glob("*.journal"))]
    problem = "JOURNAL is missing"
    if name is not None:
        problem = f"there is no journal {name!r}"
    if not known:
        raise CommandError(f"{problem}; {place}, where journals are kept, has none")
    raise CommandError(
        problem,
        details=[f"{path} is in {place}" for path in known],
        next_step="aioe2e images resume JOURNAL, with the name of one of them",
    )


def start_journal(
    run: Run, plan: Plan, origin: Origin, environ: Mapping[str, str]
) -> Journal | None:
    """The journal of a run that is about to start; None where none is kept.

    Raises:
        CommandError: It cannot be kept.
    """
    if run.no_journal or (run.journal is None and len(plan) <= _MANY):
        return None
    try:
        journal = Journal(_place(run, origin, environ), is_ours=run.journal is None)
        journal.remember(origin)
    except OSError as error:
        problem = f"no journal can be kept: {error.filename}: {error.strerror}"
    else:
        return journal
    raise CommandError(problem, Exit.CONFIGURATION, next_step="say --journal FILE, or --no-journal")


def _place(run: Run, origin: Origin, environ: Mapping[str, str]) -> Path:
    if run.journal is not None:
        path = Path(run.journal)
        if path.exists():
            raise CommandError(
                f"--journal {path}: the file is there already",
                next_step=f"`{Journal(path).resume_line}` goes on with it",
            )
        return path.absolute()
    place = folder(environ)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = f"{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    return place / f"{origin.command}-{now}-{secrets.token_hex(2)}.journal"


def origin_of(path: Path) -> Origin:
    """The command that a journal belongs to.

    For a journal that the library kept there is nothing to wait for.

    Raises:
        CommandError: The file next to the journal is damaged.
    """
    place = _beside(path)
    try:
        found = json.loads(place.read_text(encoding="utf-8"))
        version = found.pop("version")
        if version == _VERSION:
            return Origin(**found)
        problem = f"it is of version {version!r}"
    except FileNotFoundError:
        return Origin(command="resume")
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        problem = f"it cannot be read ({type(error).__name__})"
    raise CommandError(
        f"{place}: {problem}",
        Exit.CONFIGURATION,
        next_step=f"remove {place}, and say the account and --wait yourself",
    )
