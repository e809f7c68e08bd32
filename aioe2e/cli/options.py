"""The options that commands share, in groups: which account, which images, how to run, output."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

import attrs

from aioe2e import UsageError, select

from .exits import CommandError
from .parser import ACCOUNT, GENERAL, OUTPUT, RUNNING, WHICH, Check, flatten, option

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_CHANGE",
    "DEFAULT_OUTPUT",
    "DEFAULT_WAIT",
    "NO_FILTERS",
    "Account",
    "AccountOptions",
    "Change",
    "ChangeOptions",
    "FilterOptions",
    "Filters",
    "Output",
    "OutputOptions",
    "Run",
    "Wait",
    "WaitOptions",
    "seconds",
]

_UNITS: Final = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_TIME: Final = re.compile(r"(?:\s*\d+(?:\.\d+)?\s*[wdhms]?)+\s*")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms]?)")


def seconds(name: str, text: str) -> float:
    """A time such as ``90``, ``30m``, ``2h`` or ``1d 12h``, in seconds.

    Raises:
        CommandError: It cannot be read, or is 0.
    """
    found = 0.0
    if _TIME.fullmatch(text):
        found = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if found <= 0:
        raise CommandError(
            f"{name}: a time such as 90s, 30m, 2h or '1d 12h' is needed, not {text!r}"
        )
    return found


def _age(name: str, text: str) -> None:
    """Check an age, which `aioe2e.select` reads."""
    try:
        select.older_than(text)
    except UsageError:
        problem = f"{name}: a time such as '30d', '12h' or '1d 12h' is needed, not {text!r}"
    else:
        return
    raise CommandError(problem)


def _at_least(least: int) -> Check:
    """A check of whole numbers."""

    def check(name: str, number: int) -> None:
        if number < least:
            raise CommandError(f"{name}: a whole number of {least} or more is needed, not {number}")

    return check


def _project(name: str, text: str) -> None:
    if not (text.isdecimal() and int(text)):
        raise CommandError(
            f"{name}: a positive whole number is needed, such as 12345, not {text!r}"
        )


def _filled(name: str, text: Any) -> None:
    if not text.strip():
        raise CommandError(f"{name}: a value is needed, not {text!r}")


@attrs.frozen(kw_only=True)
class Account:
    """Which account is meant, and how it is talked to."""

    profile: Annotated[
        str | None,
        option(
            "--profile",
            "--alias",
            check=_filled,
            section=ACCOUNT,
            metavar="NAME",
            text="A profile of the vendor's command lines.",
        ),
    ] = None
    project_id: Annotated[
        str | None,
        option("--project-id", check=_project, section=ACCOUNT, metavar="ID", text="The project."),
    ] = None
    location: Annotated[
        tuple[str, ...],
        option(
            "--location",
            check=_filled,
            section=ACCOUNT,
            metavar="NAME",
            text="The location, such as Delhi; for `list`, more than one may be given.",
        ),
    ] = ()
    base_url: Annotated[
        str | None,
        option(
            "--base-url",
            check=_filled,
            section=ACCOUNT,
            metavar="URL",
            text="The base URL of the API.",
        ),
    ] = None
    emulator: Annotated[
        int | None,
        option(
            "--emulator",
            check=_at_least(0),
            section=ACCOUNT,
            metavar="[N]",
            text="Use an emulated account of N images (200) that lives for this command only.",
        ),
    ] = None
    dialect: Annotated[
        Literal["auto", "documented", "current", "put"] | None,
        option(
            "--dialect",
            section=ACCOUNT,
            text="The HTTP methods for changes (auto: try the others in turn).",
        ),
    ] = None
    trust_env: Annotated[
        bool,
        option(
            "--trust-env",
            section=ACCOUNT,
            text="Use the proxies and certificates set in the environment.",
        ),
    ] = False
    timeout: Annotated[
        str | None,
        option(
            "--timeout",
            check=seconds,
            section=GENERAL,
            metavar="TIME",
            text="A time limit for each call, retries included (2m).",
        ),
    ] = None
    verbose: Annotated[
        bool,
        option("--verbose", "-v", section=GENERAL, text="Log requests to stderr, without secrets."),
    ] = False
    color: Annotated[
        Literal["auto", "always", "never"],
        option("--color", section=GENERAL, text="Colours (auto: on a terminal)."),
    ] = "auto"


@attrs.frozen(kw_only=True)
class Output:
    """What is printed on stdout."""

    output: Annotated[
        Literal["table", "json", "jsonl"],
        option("--output", "-o", section=OUTPUT, text="The output format (table)."),
    ] = "table"
    json: Annotated[bool, option("--json", section=OUTPUT, text="The same as -o json.")] = False
    columns: Annotated[
        str | None,
        option(
            "--columns",
            section=OUTPUT,
            metavar="A,B",
            text="The columns of the table, named as in JSON.",
        ),
    ] = None
    no_headers: Annotated[
        bool, option("--no-headers", section=OUTPUT, text="Omit the header row.")
    ] = False
    quiet: Annotated[
        bool, option("--quiet", "-q", section=OUTPUT, text="Print ids only, one on each line.")
    ] = False

    @property
    def form(self) -> Literal["table", "json", "jsonl", "ids"]:
        """The form that is wanted, all options considered."""
        if self.quiet:
            return "ids"
        return "json" if self.json else self.output


@attrs.frozen(kw_only=True)
class Filters:
    """Which images are selected; the names are those of `aioe2e.select`."""

    match: Annotated[
        tuple[str, ...],
        option(
            "--match",
            check=_filled,
            section=WHICH,
            metavar="GLOB",
            text="The whole name matches, as in a shell. If repeated, any may match.",
        ),
    ] = ()
    state: Annotated[
        tuple[Literal["ready", "creating", "error", "unknown"], ...],
        option("--state", section=WHICH, text="In this state. If repeated, in any of them."),
    ] = ()
    keep: Annotated[
        int | None,
        option(
            "--keep",
            check=_at_least(0),
            section=WHICH,
            metavar="N",
            text="All but the newest N of those that --match and --state select.",
        ),
    ] = None
    per: Annotated[
        str | None,
        option(
            "--per",
            section=WHICH,
            metavar="GROUP",
            text="--keep counts in each group: distro, name:TEXT (what stands before TEXT in the "
            "name), os_distribution:TEXT, or none.",
        ),
    ] = None
    older_than: Annotated[
        str | None,
        option(
            "--older-than",
            check=_age,
            section=WHICH,
            metavar="TIME",
            text="Created longer ago than this: 30d, 12h.",
        ),
    ] = None
    newer_than: Annotated[
        str | None,
        option(
            "--newer-than",
            check=_age,
            section=WHICH,
            metavar="TIME",
            text="Created within this time: 30d, 12h.",
        ),
    ] = None
    not_in_use: Annotated[
        bool,
        option(
            "--not-in-use", section=WHICH, text="Not used by a VM, a clone or an autoscaling group."
        ),
    ] = False

    @property
    def any(self) -> bool:
        """Whether one of them is given."""
        return self != NO_FILTERS


NO_FILTERS: Final = Filters()


@attrs.frozen(kw_only=True)
class Run:
    """How changes are carried out."""

    dry_run: Annotated[
        bool,
        option("--dry-run", section=RUNNING, text="Print the plan and change nothing."),
    ] = False
    yes: Annotated[bool, option("--yes", "-y", "--force", section=RUNNING, text="Do not ask.")] = (
        False
    )
    limit: Annotated[
        int,
        option(
            "--limit",
            check=_at_least(1),
            section=RUNNING,
            metavar="N",
            text="How many changes to make at the same time (8).",
        ),
    ] = 8
    on_error: Annotated[
        Literal["collect", "stop"],
        option("--on-error", section=RUNNING, text="What to do after a failure (collect)."),
    ] = "collect"
    deadline: Annotated[
        str | None,
        option(
            "--deadline",
            check=seconds,
            section=RUNNING,
            metavar="TIME",
            text="A time limit for the whole run, such as 2h.",
        ),
    ] = None
    journal: Annotated[
        str | None,
        option(
            "--journal",
            check=_filled,
            section=RUNNING,
            metavar="FILE",
            text="Where to keep the journal, for `images resume`.",
        ),
    ] = None
    no_journal: Annotated[
        bool, option("--no-journal", section=RUNNING, text="Do not keep a journal.")
    ] = False
    no_progress: Annotated[
        bool, option("--no-progress", section=RUNNING, text="Do not show a progress bar.")
    ] = False

    @property
    def seconds(self) -> float | None:
        """The time for all; None for no end."""
        return None if self.deadline is None else seconds("--deadline", self.deadline)


@attrs.frozen(kw_only=True)
class Wait:
    """How long to wait for images, and how often to look."""

    wait_timeout: Annotated[
        str,
        option(
            "--wait-timeout",
            check=seconds,
            metavar="TIME",
            text="How long to wait for the images (30m).",
        ),
    ] = "30m"
    interval: Annotated[
        str,
        option(
            "--interval",
            check=seconds,
            metavar="TIME",
            text="The time between two polls; it grows up to 60s (5s).",
        ),
    ] = "5s"


#: What stands where no option of a group is given.
DEFAULT_ACCOUNT: Final = Account()
DEFAULT_OUTPUT: Final = Output()
DEFAULT_WAIT: Final = Wait()

AccountOptions = Annotated[Account, flatten()]
OutputOptions = Annotated[Output, flatten()]
FilterOptions = Annotated[Filters, flatten()]
WaitOptions = Annotated[Wait, flatten()]


@attrs.frozen(kw_only=True)
class Change:
    """What every command that changes images takes: how it runs, what it prints, which account."""

    run: Annotated[Run, flatten()] = Run()
    output: OutputOptions = DEFAULT_OUTPUT
    account: AccountOptions = DEFAULT_ACCOUNT


DEFAULT_CHANGE: Final = Change()
ChangeOptions = Annotated[Change, flatten()]
