"""The commands that say how an account is set up: profiles, settings, a check."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TextIO

import aioe2e

from .exits import CommandError, Exit
from .inputs import meant_nodes
from .options import (
    DEFAULT_ACCOUNT,
    DEFAULT_OUTPUT,
    Account,
    AccountOptions,
    OutputOptions,
)
from .output import Column, Printer, Row, printable
from .parser import given, option
from .shell import Shell, is_in_environment, open_session

if TYPE_CHECKING:
    from aioe2e import Check, Discovery, FieldReport, Session

__all__ = ["doctor", "list_profiles", "show_profile"]

_PROFILE_COLUMNS: Final = (
    Column("name", "NAME"),
    Column("is_default", "DEFAULT"),
    Column("project_id", "PROJECT ID"),
    Column("location", "LOCATION"),
    Column("file", "FILE"),
    Column("problem", "PROBLEM"),
)
_SETTING_COLUMNS: Final = (
    Column("name", "SETTING"),
    Column("shown", "VALUE"),
    Column("source", "FROM"),
)


async def list_profiles(
    *,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """List the profiles of the vendor's command lines.

    They are read from ~/.e2e/config.json (e2ectl), ~/.E2E_CLI/config.json (e2e-cli, and the file
    that MyAccount offers for download) and ~/.e2e/credentials. Nothing is written, nothing is sent.
    """
    found = aioe2e.Session.discover(account.profile)
    if not found.profiles and output.form == "table":
        shell.screen.note("no profiles")
    items: list[Row] = found.to_dict()["profiles"]
    Printer.of(shell.screen, output).items(
        "list", items, _PROFILE_COLUMNS, ids=[profile.name for profile in found.profiles]
    )
    shell.screen.note(*(f"Warning: {printable(warning)}" for warning in found.warnings))
    return Exit.OK


async def show_profile(
    *,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Show where each setting comes from.

    Settings come from the options, then from the environment, then from a profile. Secrets are not
    shown. Nothing is sent: `aioe2e doctor` tries the settings out.
    """
    found = discovered(account)
    items = _overridden(found.to_dict()["settings"], account)
    Printer.of(shell.screen, output).items(
        "show", items, _SETTING_COLUMNS, ids=[item["shown"] for item in items]
    )
    screen = shell.screen
    problem = screen.err.styled("Error:", "red")
    screen.note(*(f"{problem} {printable(text)}" for text in found.problems))
    screen.note(*(f"Warning: {printable(text)}" for text in found.warnings))
    return Exit.OK if found.ok else Exit.CONFIGURATION


def discovered(account: Account) -> Discovery:
    """What a session of this account would be made of."""
    if account.profile is not None or is_in_environment():
        return aioe2e.Session.discover(account.profile)
    found = aioe2e.Session.discover()
    defaults = [profile.name for profile in found.profiles if profile.is_default]
    names = defaults or [profile.name for profile in found.profiles]
    if defaults or len(names) == 1:
        return aioe2e.Session.discover(names[0])
    return found


def _overridden(settings: Sequence[Row], account: Account) -> list[Row]:
    """The settings, with what options say in the place of what was found."""
    given_ = {
        "project_id": ("--project-id", account.project_id),
        "location": ("--location", ", ".join(account.location) or None),
        "base_url": ("--base-url", account.base_url),
    }
    found: list[Row] = []
    for item in settings:
        source, value = given_.get(item["name"], ("", None))
        found.append(item if value is None else {**item, "shown": value, "source": source})
    return found


async def doctor(
    *,
    report: Annotated[
        str | None,
        option(
            "--report",
            metavar="FILE",
            text="Write a field report: how the API behaves, with nothing that identifies the "
            "account. Attach it to an issue; `aioe2e emulator --like FILE` behaves like it.",
        ),
    ] = None,
    writes: Annotated[
        str | None,
        option(
            "--writes",
            metavar="NODE",
            text="For the report, also save, rename and delete an image of this node.",
        ),
    ] = None,
    yes: Annotated[bool, option("--yes", "-y", "--force", text="Do not ask.")] = False,
    output: OutputOptions = DEFAULT_OUTPUT,
    account: AccountOptions = DEFAULT_ACCOUNT,
    shell: Annotated[Shell, given()],
) -> Exit:
    """Check the settings with one or two read requests, and say how to fix what is wrong.

    Reports whether the API key and the token, the project and the location are accepted, what the
    rate limit is, and how far the clock is off. Without --writes, nothing is changed.
    """
    if writes is not None and report is None:
        raise CommandError("--writes goes with --report FILE")
    if report is not None:
        _check_new(report)
    async with open_session(account, shell.screen) as session:
        found = await session.check()
        if output.form == "table":
            shell.screen.out.print(*map(printable, found.sentences))
        else:
            Printer.of(shell.screen, output).items("doctor", [found.to_dict()], (), ids=[])
        if report is not None and found.ok:
            await _write_report(session, shell, report, writes, yes=yes)
    return _code_of_check(found)


def _check_new(place: str) -> None:
    """Check, before anything is sent, that a report would not replace a file.

    Raises:
        CommandError: It would.
    """
    if Path(place).exists():
        raise CommandError(f"--report {place}: it is there already; give the name of a new file")


async def _write_report(
    session: Session, shell: Shell, place: str, writes: str | None, *, yes: bool
) -> None:
    """Write a field report.

    Raises:
        CommandError: The file cannot be written, or the trial was not agreed to.
    """
    with _new_file(place) as file:
        if writes is None:
            found = await session.field_report()
        else:
            found = await _trial(session, shell, writes, yes=yes)
        json.dump(found.to_dict(), file, indent=2, sort_keys=True)
    shell.screen.note(f"field report: {place}")


@contextlib.contextmanager
def _new_file(place: str) -> Generator[TextIO]:
    """A file that is made before anything is sent, and removed where nothing comes of it.

    Raises:
        CommandError: It cannot be made, or is there already.
    """
    path = Path(place)
    try:
        file = path.open("x", encoding="utf-8")
    except OSError as error:
        problem = f"--report {place}: {error.strerror}"
    else:
        try:
            with file:
                yield file
        except BaseException:
            path.unlink()
            raise
        return
    raise CommandError(problem)


async def _trial(session: Session, shell: Shell, word: str, *, yes: bool) -> FieldReport:
    """A field report with a trial on a node."""
    ((node, name),) = await meant_nodes(session, [word], every=False, names=True)
    if not yes:
        shell.ask(
            f"Save an image of node {node} ({name}), rename it and delete it?",
            instead="--yes goes on without a question",
        )
    return await session.field_report(node, writes=True, tell=shell.screen.note)


def _code_of_check(found: Check) -> Exit:
    if found.ok:
        return Exit.OK
    if found.credentials_accepted is False:
        return Exit.AUTHENTICATION
    if found.place_accepted is False:
        return Exit.CONFIGURATION
    return Exit.NETWORK
