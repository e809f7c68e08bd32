"""Writes the tables of README.md and docs/ out of the code they describe: ``python
docs/tables.py``.

A table stands between ``<!-- table:NAME -->`` and ``<!-- /table -->``. The tests compare what
stands there with what the code says today, so a change of the retry policy, of a default or of the
emulator's faults shows up in the pages.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

import aioe2e
from aioe2e import (
    ConnectError,
    ConnectionLostError,
    Dialect,
    E2EError,
    Limits,
    RetryPolicy,
    Timeouts,
)
from aioe2e._actions import ACTIONS, Repeatability
from aioe2e._call import Decision, decide
from aioe2e._text import Redactor
from aioe2e._wire import (
    LIST,
    RawReply,
    Request,
    Verdict,
    encode,
    judge,
    judge_failure,
    parse,
)
from aioe2e.cli.command_line import PARSER
from aioe2e.cli.exits import MEANINGS, code_of
from aioe2e.errors import is_transient_status
from aioe2e.models import Action
from aioe2e.testing import KINDS, Effect, Rules
from aioe2e.testing._options import comments_of

ROOT = Path(__file__).parents[1]

#: The columns of the retry table: a request of each kind.
REQUESTS: Mapping[str, Request] = {
    "list, get": LIST,
    **{str(action): encode(action, "1", "a", Dialect.DOCUMENTED) for action in Action},
}
#: Those that can be in doubt.
WRITES = {
    name: request for name, request in REQUESTS.items() if request.repeat is not Repeatability.READ
}

#: How one attempt ended: a status with a body, or the error for which there was no reply.
Attempt = tuple[int, object] | E2EError
PAGE = "<!DOCTYPE html><html><title>Bad Gateway</title></html>"

#: The rows: in words, and attempts that the words mean. All of one row must be judged alike.
ATTEMPTS: Mapping[str, Sequence[Attempt]] = {
    "not sent: DNS, connection refused, TLS, connect timeout": [ConnectError("", sent=False)],
    "sent, but no complete reply: reset, closed, timed out, not HTTP": [
        ConnectionLostError("", sent=True)
    ],
    "a 2xx that cannot be parsed: cut off, not JSON, another structure": [
        (200, '{"code": 2'),
        (200, "OK"),
        (202, []),
    ],
    "408 and every 5xx, by HTTP or by the envelope's `code`": [
        *((status, {"code": status}) for status in (408, *range(500, 600))),
        *((200, {"code": code, "data": []}) for code in (408, *range(500, 600))),
    ],
    "an HTML page with any status except 3xx and 405": [
        (status, PAGE) for status in (200, 404, 429, 503)
    ],
    "429 as JSON, by HTTP or by the envelope's `code`": [
        (429, {"message": "slow down"}),
        (200, {"code": 429}),
    ],
    "429 as anything but JSON": [(429, "slow down")],
    "a temporary refusal that says when to try again (“try again in 5 seconds”)": [
        (status, {"message": "The node is busy, please try again in 5 seconds"})
        for status in (400, 409, 412, 422)
    ],
    "any other 4xx, any 3xx, a 2xx whose envelope says failure": [
        (405, PAGE),
        (412, {"message": "Node is already in Saving state, please try again later"}),
        *(
            (status, {"message": "no"})
            for status in range(300, 500)
            if not is_transient_status(status)
        ),
        *((200, {"code": code}) for code in range(400, 500) if not is_transient_status(code)),
        (200, {"code": 200, "data": [], "errors": {"name": ["taken"]}}),
        (200, {"detail": "Not found."}),
    ],
}

#: What is written for a decision.
WORDS = {
    Decision.RETURN: "done",
    Decision.RETRY: "retry",
    Decision.LOOK: "check",
    Decision.RAISE: "error",
}


def verdict_on(attempt: Attempt, request: Request) -> Verdict:
    if isinstance(attempt, E2EError):
        return judge_failure(request, attempt, sent=bool(getattr(attempt, "sent", True)))
    status, content = attempt
    body = (content if isinstance(content, str) else json.dumps(content)).encode()
    return judge(request, RawReply(status, {}, body), parse(body), Redactor(), None)


def one(words: Iterable[str]) -> str:
    """The word that all attempts of a row have in common."""
    found = set(words)
    if len(found) != 1:
        raise ValueError(f"the attempts of one row are not treated alike: {sorted(found)}")
    return found.pop()


def retry_row(text: str, attempts: Sequence[Attempt], *, in_doubt: bool) -> list[str]:
    columns = WRITES if in_doubt else REQUESTS
    cells = (
        one(
            WORDS[decide(verdict_on(attempt, request), request.repeat, in_doubt=in_doubt)]
            for attempt in attempts
        )
        for request in columns.values()
    )
    return [text, *cells]


def retry() -> list[str]:
    """What is done after a failed attempt of which nothing was lost before."""
    rows = (retry_row(text, attempts, in_doubt=False) for text, attempts in ATTEMPTS.items())
    return table(["the attempt", *REQUESTS], rows)


def doubt() -> list[str]:
    """What is done after a failed attempt when an earlier one of the same write may have been
    carried out."""
    rows = (retry_row(text, attempts, in_doubt=True) for text, attempts in ATTEMPTS.items())
    return table(["the later attempt", *WRITES], rows)


def requests() -> list[str]:
    """What is sent for each action, in either dialect."""

    def line(request: Request) -> str:
        return f"`{request.method} {request.path}`" + (
            f" `{request.body.decode()}`" if request.body else ""
        )

    writes = (
        [
            str(action),
            *(
                line(
                    encode(action, "{node}" if ACTIONS[action].of_node else "{id}", "NAME", dialect)
                )
                for dialect in (Dialect.DOCUMENTED, Dialect.CURRENT, Dialect.PUT)
            ),
        ]
        for action in Action
    )
    return table(
        ["action", "`Dialect.DOCUMENTED`", "`Dialect.CURRENT`", "`Dialect.PUT`"],
        [["list", *[line(LIST)] * 3], *writes],
    )


def settings() -> list[str]:
    """Every knob of the three frozen values, with its default and its own docstring's words."""
    rows = (
        [
            f"`{owner.__name__}.{field.name}`",
            f"`{shown(field.default)}`",
            meaning(owner, field.name, attributes(owner)),
        ]
        for owner in (Timeouts, RetryPolicy, Limits)
        for field in attrs.fields(owner)
    )
    return table(["setting", "default", "meaning"], rows)


def meaning(owner: type[Any], field: str, texts: Mapping[str, str]) -> str:
    """What a field means, for its row of a table."""
    if field not in texts:
        raise ValueError(
            f"{owner.__name__}.{field} has no comment: say what it means in a #: comment above it"
        )
    return texts[field]


def shown(default: object) -> str:
    return "16 MiB" if default == 16 * 1024 * 1024 else str(default)


def attributes(owner: type[Any]) -> dict[str, str]:
    """What each field means: the ``#:`` comment above it, or its line under ``Attributes:``."""
    section = (inspect.getdoc(owner) or "").partition("Attributes:\n")[2]
    listed = re.findall(r"^    (\w+): (.*(?:\n        .*)*)", section, re.MULTILINE)
    above = re.findall(r"((?:^    #: .*\n)+)    (\w+):", inspect.getsource(owner), re.MULTILINE)
    found = [*listed, *((name, comment.replace("#: ", "")) for comment, name in above)]
    return {name: " ".join(words.split()).replace("``", "`") for name, words in found}


def error_tree() -> list[str]:
    """The classes of errors as a tree, each with the builtin class that it is one of too."""

    def also(error: type[Exception]) -> str:
        builtin = [
            base.__name__
            for base in error.__bases__
            if base.__module__ == "builtins" and base is not Exception
        ]
        return f" ({', '.join(builtin)})" if builtin else ""

    def below(error: type[Exception], before: str) -> Iterator[str]:
        kinds = [kind for kind in error_classes() if kind.__bases__[0] is error]
        for kind in kinds:
            last = kind is kinds[-1]
            yield f"{before}{'└── ' if last else '├── '}{kind.__name__}{also(kind)}"
            yield from below(kind, f"{before}{'    ' if last else '│   '}")

    return ["```text", "E2EError", *below(E2EError, ""), "```"]


def error_classes() -> list[type[Exception]]:
    """Every public class of errors, in the order of the alphabet."""
    names = [name for name in aioe2e.__all__ if name.endswith("Error")]
    return [getattr(aioe2e, name) for name in names]


def error_meanings() -> list[str]:
    """What each class of errors means, in the first sentence of its docstring, and the exit code of
    the command line."""

    def first(error: type[Exception]) -> str:
        paragraph = (inspect.getdoc(error) or "").split("\n\n")[0]
        return re.sub(r"`+([^`]+)`+", r"`\1`", " ".join(paragraph.split()))

    def code(error: type[Exception]) -> str:
        if error is aioe2e.BulkError:
            failed = aioe2e.SkippedError("")
            unknown = aioe2e.OutcomeUnknownError("", action="save", target="1")
            groups = (aioe2e.BulkError("", [part]) for part in (failed, unknown))
            return " or ".join(f"{code_of(group):d}" for group in groups)
        return f"{code_of(error.__new__(error)):d}"

    rows = ([f"`{error.__name__}`", first(error), code(error)] for error in error_classes())
    return table(["error", "means", "exit code"], rows)


def faults() -> list[str]:
    """Every kind of fault of the emulator. The first word on a write is the default."""
    words = {Effect.NOT: "not applied", Effect.BEFORE: "applied", Effect.LATE: "applied late"}
    rows = (
        [
            f"`{name}`" + (" (opt-in)" if kind.opt_in else ""),
            kind.summary,
            ", ".join(map(words.get, kind.effects)),
        ]  # type: ignore[arg-type]  # every effect has its word
        for name, kind in KINDS.items()
    )
    return table(["kind", "what happens", "a write is"], rows)


def rules() -> list[str]:
    """Every rule of the emulator, with its default and the comment above it."""
    texts = comments_of(Rules)
    rows = (
        [f"`{field.name}`", f"`{field.default!r}`", meaning(Rules, field.name, texts)]
        for field in attrs.fields(Rules)
    )
    return table(["rule", "default", "meaning"], rows)


def exits() -> list[str]:
    """The exit codes of the command line."""
    return table(["code", "meaning"], [[f"{code:d}", text] for code, text in MEANINGS.items()])


def help_screens() -> list[str]:
    """Every help screen of the command line."""
    lines: list[str] = []
    for path in PARSER.paths():
        lines += [f"## aioe2e {path}".rstrip(), "", "```text", PARSER.help(path), "```", ""]
    return lines[:-1]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    cells = [list(header), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in cells]
    return [lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]


TABLES: Mapping[str, Callable[[], list[str]]] = {
    "retry": retry,
    "doubt": doubt,
    "requests": requests,
    "settings": settings,
    "faults": faults,
    "error_tree": error_tree,
    "error_meanings": error_meanings,
    "rules": rules,
    "exits": exits,
    "help": help_screens,
}
MARKED = re.compile(r"(<!-- table:(\w+) -->\n).*?(<!-- /table -->)", re.DOTALL)


def with_tables(text: str) -> str:
    """The text of a page with all of its tables written anew."""
    return MARKED.sub(lambda found: "\n".join([found[1], *TABLES[found[2]](), "", found[3]]), text)


def pages() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").glob("*.md"))


if __name__ == "__main__":
    for page in pages():
        text = page.read_text(encoding="utf-8")
        page.write_text(with_tables(text), encoding="utf-8")
