"""How a command ends: one table from errors to exit codes, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Final

import aioe2e
from aioe2e import Report, Status

__all__ = [
    "MEANINGS",
    "OUR_WORDS",
    "CommandError",
    "Exit",
    "code_of",
    "code_of_report",
    "details_of",
    "in_our_words",
    "next_step",
]


class Exit(IntEnum):
    """The exit codes. 0 to 5 are those of the vendor's e2ectl."""

    OK = 0
    FAILED = 1
    USAGE = 2
    AUTHENTICATION = 3
    CONFIGURATION = 4
    NETWORK = 5
    UNKNOWN = 6
    INTERRUPTED = 130


#: What each code means: printed by ``aioe2e --help``, and in the docs.
MEANINGS: Final = {
    Exit.OK: "everything is done, or was so already",
    Exit.FAILED: "refused, failed, skipped, or not ready in time",
    Exit.USAGE: "wrong usage, or the confirmation was declined or not possible",
    Exit.AUTHENTICATION: "the credentials were not accepted",
    Exit.CONFIGURATION: "a setting is wrong or missing, or an optional extra is not installed",
    Exit.NETWORK: "network error, throttled, or the server failed: try again later",
    Exit.UNKNOWN: "a change was sent, and its outcome is unknown (takes precedence over 1)",
    Exit.INTERRUPTED: "interrupted by Ctrl-C or a signal",
}

#: The code of each class of errors. A class that is not here has that of its nearest base.
_CODES: Final[dict[type[BaseException], Exit]] = {
    aioe2e.E2EError: Exit.FAILED,
    aioe2e.UsageError: Exit.USAGE,
    aioe2e.ConfigError: Exit.CONFIGURATION,
    aioe2e.AuthenticationError: Exit.AUTHENTICATION,
    aioe2e.PermissionDeniedError: Exit.AUTHENTICATION,
    aioe2e.TransportError: Exit.NETWORK,
    aioe2e.DeadlineExceededError: Exit.NETWORK,
    aioe2e.RateLimitedError: Exit.NETWORK,
    aioe2e.ServerError: Exit.NETWORK,
    aioe2e.ResponseError: Exit.NETWORK,
    aioe2e.GuardError: Exit.NETWORK,
    aioe2e.OutcomeUnknownError: Exit.UNKNOWN,
}

_NEXT_STEPS: Final[dict[type[BaseException], str]] = {
    aioe2e.AuthenticationError: (
        "check the API key and the token (MyAccount, API & IAM); "
        "`aioe2e profiles show` says where they come from"
    ),
    aioe2e.PermissionDeniedError: "use a token that may do this, for this project",
    aioe2e.ConfigError: "`aioe2e profiles show` says where each setting comes from",
    aioe2e.NotFoundError: "`aioe2e images list` and `aioe2e nodes list` say what is there",
    aioe2e.AmbiguousNameError: "say the id",
    aioe2e.RateLimitedError: "wait, then run it again; a lower --limit sends less at a time",
    aioe2e.TransportError: "check the network, then run it again; `aioe2e doctor` tests the way",
    aioe2e.ServerError: "run it again later",
    aioe2e.ResponseError: "run it again; `aioe2e doctor --report FILE` writes down what came",
    aioe2e.DeadlineExceededError: "run it again, with a longer --timeout",
    aioe2e.OutcomeUnknownError: "look with `aioe2e images list` before you send it again",
    aioe2e.WaitTimeoutError: "wait again: `aioe2e images wait`; the server goes on working",
}

#: What the library's texts call by names of its own, and what a command line has for it. Each entry
#: is a regular expression and what stands in its place.
OUR_WORDS: Final = tuple(
    (re.compile(theirs), ours)
    for theirs, ours in (
        (r"\bproject_id and location\b", "--project-id and --location"),
        (r"\bthe other Dialect\b", "another --dialect"),
        (r"\baioe2e\.Dialect\b", "--dialect"),
        (r"^base_url\b", "--base-url"),
        (r"\b([Cc]heck) base_url\b", r"\1 --base-url"),
        (r"\btrust_env\b", "--trust-env"),
        (r"\blower Limits\.in_flight", "give a lower --limit"),
        (r"credentials go into Credentials alone", "key and token are settings of their own"),
        (r", or pass credentials in code", ", or with --profile"),
        (r" \(in code, a project_id of None[^)]*\)", ""),
        (r"; to order them, pass existing= or SavedImages", ""),
        (r"; make a new one: Plan\.of\(steps\)", ""),
        (r"no plan that Plan\.to_dict wrote in version \d+", "no plan of --dry-run -o json"),
        (r"pass force=True to delete", "--in-use-too deletes"),
        (r"Plan\.resume it|go on with Plan\.resume\(path\)", "go on with `aioe2e images resume`"),
        (r" \(\.problems has all\)", ""),
    )
)


def in_our_words(text: str) -> str:
    """A text of the library as the command line says it: with options for arguments."""
    for theirs, ours in OUR_WORDS:
        text = theirs.sub(ours, text)
    return text


class CommandError(Exception):
    """A command cannot go on. It becomes ``Error: …`` and an exit code.

    Attributes:
        code: The exit code.
        next_step: What to do about it, or "".
        details: More lines, each about one thing that is wrong.
    """

    def __init__(
        self,
        message: str,
        code: Exit = Exit.USAGE,
        *,
        next_step: str = "",
        details: Iterable[str] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.next_step = next_step
        self.details: tuple[str, ...] = tuple(details)


def _lookup(table: dict[type[BaseException], object], error: BaseException) -> object | None:
    return next((table[cls] for cls in type(error).__mro__ if cls in table), None)


def code_of(error: BaseException) -> Exit:
    """The exit code for an error that ended a command."""
    if isinstance(error, CommandError):
        return error.code
    if isinstance(error, aioe2e.BulkError):
        return max(map(code_of, error.exceptions)) if _holds_unknown(error) else Exit.FAILED
    found = _lookup({**_CODES}, error)
    return found if isinstance(found, Exit) else Exit.FAILED


def _holds_unknown(error: aioe2e.BulkError) -> bool:
    return error.subgroup(aioe2e.OutcomeUnknownError) is not None


def code_of_report(report: Report) -> Exit:
    """The exit code for a run: 0 where all is well, 6 where an outcome is UNKNOWN, else 1."""
    if report.counts()[Status.UNKNOWN]:
        return Exit.UNKNOWN
    return Exit.OK if report.ok else Exit.FAILED


def next_step(error: BaseException) -> str:
    """What to do about an error; "" where there is nothing to say."""
    if isinstance(error, CommandError):
        return error.next_step
    found = _lookup({**_NEXT_STEPS}, error)
    return found if isinstance(found, str) else ""


def details_of(error: BaseException) -> tuple[str, ...]:
    """What is wrong, thing by thing, where an error has more than one."""
    if isinstance(error, CommandError):
        return error.details
    problems: tuple[str, ...] = getattr(error, "problems", ())
    return problems if len(problems) > 1 else ()
