"""The commands that say how an account is set up: profiles and settings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final

from aioe2e import Discovery, Session

from .exits import Exit
from .options import (
    DEFAULT_ACCOUNT,
    DEFAULT_OUTPUT,
    Account,
    AccountOptions,
    OutputOptions,
)
from .output import Column, Row, printable
from .parser import given
from .reading import printer
from .shell import Shell, is_in_environment

__all__ = ["list_profiles", "show_profile"]

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
    found = Session.discover(account.profile)
    if not found.profiles and output.form == "table":
        shell.screen.note("no profiles")
    items: list[Row] = found.to_dict()["profiles"]
    printer(shell, output).items(
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
    printer(shell, output).items(
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
        return Session.discover(account.profile)
    found = Session.discover()
    defaults = [profile.name for profile in found.profiles if profile.is_default]
    names = defaults or [profile.name for profile in found.profiles]
    if defaults or len(names) == 1:
        return Session.discover(names[0])
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
