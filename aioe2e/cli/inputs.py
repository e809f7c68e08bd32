"""What users hand in: times, files of ids, templates of names, and which images are meant."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO, TypeGuard, cast

import attrs

from aioe2e import Action, ImageState, Plan, SavedImage, Session, UsageError, select

from .exits import CommandError, Exit
from .options import Filters
from .parser import nearest

__all__ = [
    "SAVE_FIELDS",
    "Given",
    "Group",
    "Template",
    "chosen",
    "filtered",
    "group_of",
    "ids_of",
    "meant_nodes",
    "named",
    "names_of_nodes",
    "now_fields",
    "one_of",
    "read_source",
    "seconds",
]

_UNITS: Final = {"w": 604800.0, "d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}
_TIME: Final = re.compile(r"(?:\s*\d+(?:\.\d+)?\s*[wdhms]?)+\s*")
_PART: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([wdhms]?)")
#: A plan that `--dry-run -o json` printed has these besides its items.
_PLAN: Final = "plan"
#: What stands for the id in a line of JSON.
_NODE_KEYS: Final = ("node_id", "target", "id")
_IMAGE_KEYS: Final = ("image_id", "target", "id")
_NAME_KEYS: Final = ("new_name", "name")
#: What may stand in braces in the name of an image to be saved.
SAVE_FIELDS: Final = ("node", "id", "date", "time")
_GROUPS: Final = ("distro", "none", "name:TEXT", "os_distribution:TEXT")
Group = Callable[[SavedImage], Hashable]


def seconds(name: str, text: str | None) -> float | None:
    """A time such as ``90``, ``30m``, ``2h`` or ``1d 12h``, in seconds; None where none is given.

    Raises:
        CommandError: It cannot be read, or is 0.
    """
    if text is None:
        return None
    found = 0.0
    if _TIME.fullmatch(text):
        found = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if found <= 0:
        raise CommandError(
            f"{name}: a time such as 90s, 30m, 2h or '1d 12h' is needed, not {text!r}"
        )
    return found


@attrs.frozen
class Template:
    """A pattern for names, such as ``nightly-{node}-{date}``.

    Args:
        option: The option that it came from, for errors.
        text: The pattern. A brace that is meant is doubled.
        fields: The words that may stand in braces.

    Raises:
        CommandError: There is another word in it, or a brace is left open.
    """

    option: str
    text: str
    fields: tuple[str, ...]

    def __attrs_post_init__(self) -> None:
        for name, _ in self._parts():
            if name is not None and name not in self.fields:
                problem = f"{self.option}: there is no {{{name}}}{nearest(name, self.fields)}"
                raise CommandError(problem, details=self._known())

    def _known(self) -> tuple[str, ...]:
        return ("in braces may stand: " + ", ".join(f"{{{name}}}" for name in self.fields),)

    def _parts(self) -> Iterator[tuple[str | None, str]]:
        """Each word in braces (None for none), and the text before it."""
        try:
            parts = list(string.Formatter().parse(self.text))
        except ValueError as error:
            problem = str(error)
        else:
            for before, name, form, conversion in parts:
                if form or conversion:
                    raise CommandError(
                        f"{self.option}: only plain words may stand in braces, as in {{date}}"
                    )
                yield name, before
            return
        raise CommandError(f"{self.option}: {self.text!r} is no template: {problem}")

    def uses(self, field: str) -> bool:
        """Whether a word stands in it."""
        return any(name == field for name, _ in self._parts())

    def __call__(self, values: Mapping[str, str]) -> str:
        """The name for these values."""
        parts = self._parts()
        return "".join(before + ("" if name is None else values[name]) for name, before in parts)

    def pattern(self, groups: Mapping[str, str]) -> re.Pattern[str]:
        """What matches the names that it makes, and what the server is known to append to them.

        Args:
            groups: A regular expression for each of the words.
        """
        found = ""
        seen: set[str] = set()
        for name, before in self._parts():
            found += re.escape(before)
            if name is None:
                continue
            found += f"(?P={name})" if name in seen else f"(?P<{name}>{groups[name]})"
            seen.add(name)
        return re.compile(found + r"(?:-disk-\d+)?(?:_\d+)?", re.DOTALL)


@attrs.frozen
class Given:
    """What a file of ``--from`` holds: a plan that was printed, or ids, some with names."""

    #: A plan that was printed.
    plan: Plan | None = None
    ids: tuple[str, ...] = ()
    #: By place, the name that stands next to an id; "" where there is none.
    names: tuple[str, ...] = ()

    def pairs(self) -> list[tuple[str, str]]:
        """Ids with their names.

        Raises:
            CommandError: An id has none.
        """
        missing = [place for place, name in enumerate(self.names, 1) if not name]
        if missing:
            raise CommandError(
                f"--from: item {missing[0]} ({self.ids[missing[0] - 1]}) has no name after its id",
                next_step="write `ID NAME` a line, or give a template",
            )
        return list(zip(self.ids, self.names, strict=True))


def read_source(place: str | None, action: Action, stdin: TextIO) -> Given:
    """Read what ``--from`` names.

    It may be a plan (what ``--dry-run -o json`` printed), any other JSON or JSON lines that this
    program prints, or lines of text: an id, and behind it a name where one is needed.

    Args:
        place: A file, or ``-`` for stdin; None for nothing.
        action: What will be done; a plan must be for the same.
        stdin: Standard input.

    Raises:
        CommandError: It cannot be read, or is none of these.
    """
    if place is None:
        return Given()
    text = _text(place, stdin)
    if text.lstrip()[:1] in ("{", "["):
        return _from_json(text, action)
    lines = [line.split(maxsplit=1) for line in text.splitlines()]
    meant = [words for words in lines if words and not words[0].startswith("#")]
    return Given(
        ids=tuple(words[0] for words in meant),
        names=tuple(" ".join(words[1:]).strip() for words in meant),
    )


def _text(place: str, stdin: TextIO) -> str:
    try:
        return stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = error.strerror or str(error)
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    raise CommandError(f"--from {place}: {problem}")


def _from_json(text: str, action: Action) -> Given:
    try:
        found = json.loads(text)
    except ValueError:
        found = _json_lines(text)
    if _is_object(found) and _is_object(found.get(_PLAN)):
        return Given(plan=_checked_plan({**found[_PLAN], "steps": found.get("items")}, action))
    if _is_object(found) and "steps" in found:
        return Given(plan=_checked_plan(found, action))
    items = found.get("items", [found]) if _is_object(found) else found
    if not isinstance(items, list):
        raise CommandError("--from: this JSON is neither a plan nor a list of items")
    return _from_items(cast("list[object]", items), action)


def _json_lines(text: str) -> list[object]:
    found: list[object] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError:
            problem = f"--from: line {number} is no JSON"
        else:
            continue
        raise CommandError(problem)
    return found


def _checked_plan(stored: Mapping[str, Any], action: Action) -> Plan:
    plan = Plan.from_dict(stored)
    if plan.action is not action and len(plan):
        word = plan.action.value if plan.action else "mixed"
        raise CommandError(f"--from: this is a {word} plan, and the command is {action.value}")
    return plan


def _from_items(items: Iterable[object], action: Action) -> Given:
    keys = _IMAGE_KEYS
    if action is Action.SAVE:
        keys = _NODE_KEYS
    ids: list[str] = []
    names: list[str] = []
    for place, item in enumerate(items, 1):
        entry = _entry(item, action)
        value = next((entry[key] for key in keys if entry.get(key) is not None), None)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise CommandError(f"--from: item {place} has no {keys[0]}")
        ids.append(str(value))
        names.append(next((str(entry[key]) for key in _NAME_KEYS if entry.get(key)), ""))
    return Given(ids=tuple(ids), names=tuple(names))


def _entry(item: object, action: Action) -> Mapping[str, Any]:
    """The part of an item that has the id: of an outcome its step, or what the step made."""
    if not _is_object(item):
        return {"id": item}
    step = item.get("step")
    if not _is_object(step):
        return item
    saved = step.get("action") == Action.SAVE.value
    if saved and action is not Action.SAVE:  # the target is a node: the image is in the result
        found = item.get("image") or item.get("result")
        return found if _is_object(found) else {}
    return step


def _is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def group_of(text: str | None) -> Group | None:
    """The groups that ``--per`` names; None for one group of all.

    Raises:
        CommandError: There is no such way to group.
    """
    kind, _, marker = (text or "none").partition(":")
    if kind == "none" and not marker:
        return None
    if kind == "distro" and not marker:
        return select.by_distro
    if kind == "name" and marker:
        return select.by_name(until=marker)
    if kind == "os_distribution" and marker:
        return select.by_os_distribution(until=marker)
    raise CommandError(f"--per: one of {', '.join(_GROUPS)} is needed, not {text!r}")


def filtered(
    filters: Filters, images: Iterable[SavedImage], *, group: Group | None = None
) -> list[SavedImage]:
    """The images that the filters select.

    Args:
        filters: The options.
        images: The images.
        group: What ``--per`` means here; by default, what `group_of` says.

    ``--match`` and ``--state`` say among which images ``--keep`` counts; age and use are looked at
    afterwards, so that they never make more images count as surplus.
    """
    if filters.per is not None and filters.keep is None:
        raise CommandError("--per goes with --keep N")
    found = select.where(select.all_of(*_scope(filters)), images)
    if filters.keep is not None:
        found = select.all_but_newest(filters.keep, found, per=group or group_of(filters.per))
    return select.where(select.all_of(*_conditions(filters)), found)


def _scope(filters: Filters) -> list[select.Predicate]:
    found: list[select.Predicate] = []
    if filters.match:
        found.append(select.name_matches(*filters.match))
    if filters.state:
        found.append(select.state_is(*(ImageState[word.upper()] for word in filters.state)))
    return found


def _conditions(filters: Filters) -> list[select.Predicate]:
    found: list[select.Predicate] = []
    if filters.older_than is not None:
        found.append(_of_age(select.older_than, "--older-than", filters.older_than))
    if filters.newer_than is not None:
        found.append(_of_age(select.newer_than, "--newer-than", filters.newer_than))
    if filters.not_in_use:
        found.append(select.not_in_use())
    return found


def _of_age(
    predicate_of: Callable[[str], select.Predicate], option: str, age: str
) -> select.Predicate:
    try:
        return predicate_of(age)
    except UsageError:
        text = f"{option}: a time such as '30d', '12h' or '1d 12h' is needed, not {age!r}"
        raise CommandError(text) from None


def chosen(
    words: Sequence[str], filters: Filters, images: Sequence[SavedImage]
) -> list[SavedImage | str]:
    """The images that a command means: those of the filters if any is given, else by ids or names.

    Raises:
        CommandError: There is no such image, or more than one.
    """
    if filters.any:
        return [*filtered(filters, images)]
    return named(words, images)


def named(words: Sequence[str], images: Sequence[SavedImage]) -> list[SavedImage | str]:
    """The images that are meant by ids or names.

    Raises:
        CommandError: There is no such image, or more than one; all such words are named.
    """
    known = [(image.image_id, image.name) for image in images]
    by_id = {image.image_id: image for image in images}
    return [by_id.get(id_, id_) for id_ in ids_of(words, known, "image")]


def ids_of(words: Sequence[str], known: Iterable[tuple[str, str]], noun: str) -> list[str]:
    """The ids that are meant by ids or names.

    A word of digits is an id, also where nothing of that id is known. Any other is the id or the
    whole name of one thing.

    Args:
        words: What was typed.
        known: Ids and names of all that a listing shows.
        noun: What the things are, for errors.

    Raises:
        CommandError: There is none, or more than one; all such words are named.
    """
    by_name: dict[str, list[str]] = {}
    for id_, name in known:
        by_name.setdefault(name, []).append(id_)
    ids = {id_ for same in by_name.values() for id_ in same}
    found: list[str] = []
    problems: list[str] = []
    for word in words:
        is_id = word in ids or word.isdecimal()
        same = [word] if is_id else by_name.get(word, [])
        found += same[:1]
        if not same:
            problems.append(f"there is no {noun} {word!r}{nearest(word, by_name)}")
        elif len(same) > 1:
            problems.append(f"{len(same)} {noun}s are called {word!r}: {', '.join(same)}")
    if problems:
        raise _not_found(problems, noun)
    return found


def _not_found(problems: Sequence[str], noun: str) -> CommandError:
    step = f"`aioe2e {noun}s list` says what is there; a listing shows one location of one project"
    if len(problems) == 1:
        return CommandError(problems[0], Exit.FAILED, next_step=step)
    text = f"{len(problems)} {noun}s cannot be found"
    return CommandError(text, Exit.FAILED, next_step=step, details=problems)


def now_fields() -> dict[str, str]:
    """The date and the time (UTC) for names."""
    now = datetime.now(UTC)
    return {"date": f"{now:%Y%m%d}", "time": f"{now:%H%M%S}"}


def one_of(choices: Mapping[str, bool]) -> str:
    """Which of several ways to say something was taken.

    Raises:
        CommandError: None, or more than one.
    """
    taken = [name for name, given_ in choices.items() if given_]
    if len(taken) == 1:
        return taken[0]
    if taken:
        raise CommandError(f"{' and '.join(taken)} exclude each other")
    raise CommandError(f"nothing is selected: give {' or '.join(choices)}")


def names_of_nodes(template: Template, nodes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """For each node, its id and the name of its image."""
    now = now_fields()
    return [(id_, template({**now, "id": id_, "node": name or id_})) for id_, name in nodes]


async def meant_nodes(
    session: Session, words: Sequence[str], *, every: bool, names: bool
) -> list[tuple[str, str]]:
    """The ids and names of the nodes that are meant.

    Args:
        session: Where they are looked up, if need be.
        words: Ids or names.
        every: Whether all nodes are meant.
        names: Whether their names are needed; else a name may be "".
    """
    needs_listing = names or every
    if not needs_listing and all(map(str.isdecimal, words)):
        return [(word, "") for word in words]
    known = {node.node_id: node.name for node in await session.nodes.list()}
    ids = [*known] if every else ids_of(words, known.items(), "node")
    return [(id_, known.get(id_, "")) for id_ in ids]
