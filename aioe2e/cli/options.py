"""The options that commands share, in groups: which account, which images, how to run, output."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import attrs

from .parser import ACCOUNT, GENERAL, OUTPUT, RUNNING, WHICH, flatten, option

__all__ = [
    "DEFAULT_ACCOUNT",
    "DEFAULT_OUTPUT",
    "DEFAULT_RUN",
    "DEFAULT_WAIT",
    "NO_FILTERS",
    "Account",
    "AccountOptions",
    "FilterOptions",
    "Filters",
    "Output",
    "OutputOptions",
    "Run",
    "RunOptions",
    "Wait",
    "WaitOptions",
]


@attrs.frozen(kw_only=True)
class Account:
    """Which account is meant, and how it is talked to."""

    profile: Annotated[
        str | None,
        option(
            "--profile",
            "--alias",
            section=ACCOUNT,
            metavar="NAME",
            text="A profile of the vendor's command lines.",
        ),
    ] = None
    project_id: Annotated[
        str | None, option("--project-id", section=ACCOUNT, metavar="ID", text="The project.")
    ] = None
    location: Annotated[
        tuple[str, ...],
        option(
            "--location",
            section=ACCOUNT,
            metavar="NAME",
            text="The location, such as Delhi; for `list`, more than one may be given.",
        ),
    ] = ()
    base_url: Annotated[
        str | None,
        option("--base-url", section=ACCOUNT, metavar="URL", text="Another address of the API."),
    ] = None
    emulator: Annotated[
        int | None,
        option(
            "--emulator",
            section=ACCOUNT,
            metavar="[N]",
            text="Use an emulated account of N images (200) that lives for this command only.",
        ),
    ] = None
    timeout: Annotated[
        str | None,
        option(
            "--timeout",
            section=GENERAL,
            metavar="TIME",
            text="The time for one call, retries included (2m).",
        ),
    ] = None
    verbose: Annotated[
        bool,
        option("--verbose", "-v", section=GENERAL, text="Requests go to stderr, without secrets."),
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
        option("--output", "-o", section=OUTPUT, text="The form of the result (table)."),
    ] = "table"
    json: Annotated[bool, option("--json", section=OUTPUT, text="The same as -o json.")] = False
    columns: Annotated[
        str | None,
        option(
            "--columns",
            section=OUTPUT,
            metavar="A,B",
            text="The columns of the table, by the names that JSON has.",
        ),
    ] = None
    no_headers: Annotated[
        bool, option("--no-headers", section=OUTPUT, text="A table without its first line.")
    ] = False
    quiet: Annotated[
        bool, option("--quiet", "-q", section=OUTPUT, text="Only ids, one a line.")
    ] = False

    @property
    def form(self) -> Literal["table", "json", "jsonl", "ids"]:
        """The form that is wanted, all options considered."""
        if self.quiet:
            return "ids"
        return "json" if self.json else self.output


@attrs.frozen(kw_only=True)
class Filters:
    """Which images are meant, by what they are; the words are those of `aioe2e.select`."""

    match: Annotated[
        tuple[str, ...],
        option(
            "--match",
            section=WHICH,
            metavar="GLOB",
            text="The whole name matches, as in a shell; may be repeated, then any.",
        ),
    ] = ()
    state: Annotated[
        tuple[Literal["ready", "creating", "error", "unknown"], ...],
        option("--state", section=WHICH, text="In this state; may be repeated, then any."),
    ] = ()
    keep: Annotated[
        int | None,
        option(
            "--keep",
            section=WHICH,
            metavar="N",
            text="All but the newest N of those that --match and --state leave.",
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
        option("--older-than", section=WHICH, metavar="TIME", text="Made longer ago: 30d, 12h."),
    ] = None
    newer_than: Annotated[
        str | None,
        option("--newer-than", section=WHICH, metavar="TIME", text="Made since then: 30d, 12h."),
    ] = None
    not_in_use: Annotated[
        bool,
        option("--not-in-use", section=WHICH, text="No VM, clone or scale group uses it."),
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
        option("--dry-run", section=RUNNING, text="Print the plan; nothing is sent but reads."),
    ] = False
    yes: Annotated[bool, option("--yes", "-y", "--force", section=RUNNING, text="Do not ask.")] = (
        False
    )
    limit: Annotated[
        int,
        option(
            "--limit",
            section=RUNNING,
            metavar="N",
            text="Changes at the same time (8).",
        ),
    ] = 8
    on_error: Annotated[
        Literal["collect", "stop"],
        option("--on-error", section=RUNNING, text="After a failure, go on, or stop (collect)."),
    ] = "collect"
    deadline: Annotated[
        str | None,
        option("--deadline", section=RUNNING, metavar="TIME", text="The time for all: 2h."),
    ] = None
    journal: Annotated[
        str | None,
        option(
            "--journal",
            section=RUNNING,
            metavar="FILE",
            text="Where the journal is kept that `images resume` takes.",
        ),
    ] = None
    no_journal: Annotated[
        bool, option("--no-journal", section=RUNNING, text="Keep no journal.")
    ] = False
    no_progress: Annotated[bool, option("--no-progress", section=RUNNING, text="Show no bar.")] = (
        False
    )


@attrs.frozen(kw_only=True)
class Wait:
    """How long to wait for images, and how often to look."""

    wait_timeout: Annotated[
        str,
        option(
            "--wait-timeout",
            metavar="TIME",
            text="How long to wait for the images (30m).",
        ),
    ] = "30m"
    interval: Annotated[
        str,
        option(
            "--interval",
            metavar="TIME",
            text="The time between two looks while waiting; it grows up to 60s (5s).",
        ),
    ] = "5s"


#: What stands where no option of a group is given.
DEFAULT_ACCOUNT: Final = Account()
DEFAULT_OUTPUT: Final = Output()
DEFAULT_RUN: Final = Run()
DEFAULT_WAIT: Final = Wait()

AccountOptions = Annotated[Account, flatten()]
OutputOptions = Annotated[Output, flatten()]
FilterOptions = Annotated[Filters, flatten()]
RunOptions = Annotated[Run, flatten()]
WaitOptions = Annotated[Wait, flatten()]
