"""What users hand in: times, files of ids, templates of names, and which images are meant."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeGuard, cast

import attrs

from aioe2e import Action, ImageState, Plan, SavedImage, UsageError, select
from aioe2e._check import checked_name

from .exits import CommandError, Exit
from .options import Filters
from .parser import nearest

if TYPE_CHECKING:
    from aioe2e import Session

__all__ = [
    "SAVE_FIELDS",
    "Given",
    "Group",
    "Template",
    "check_filters",
    "filtered",
    "group_of",
    "ids_of",
    "meant_nodes",
    "named",
    "names_of_nodes",
    "now_fields",
    "one_of",
    "read_source",
    "several",
    "typed",
]

#: A plan that `--dry-run -o json` printed has these besides its items.
_PLAN: Final = "plan"
#: What stands for the id in a line of JSON.
_NODE_KEYS: Final = ("node_id", "target", "id")
_IMAGE_KEYS: Final = ("image_id", "target", "id")
_NAME_KEYS: Final = ("new_name", "name")
#: Ways to say what is meant, as an error explains them.
_WAYS: Final = {"--from": "--from FILE", "filters": "a filter such as --match"}
#: Places that one sentence names.
_PLACES: Final = 3
#: What may stand in braces in the name of an image to be saved.
SAVE_FIELDS: Final = ("node", "id", "date", "time")
_GROUPS: Final = ("distro", "none", "name:TEXT", "os_distribution:TEXT")
Group = Callable[[SavedImage], Hashable]


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
        if not self.text.strip():
            raise CommandError(f"{self.option}: the template is empty", details=self._known())
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

    def check_differs(self, number: int, fields: Sequence[str]) -> None:
        """Check that each of so many things gets a name of its own.

        Args:
            number: How many names it makes.
            fields: The words that differ from thing to thing; the first two are proposed.

        Raises:
            CommandError: None of them is in it.
        """
        if number > 1 and not any(map(self.uses, fields)):
            raise CommandError(
                f"{self.option}: {self.text!r} gives all {number:,} images the same name",
                next_step=f"put {{{fields[0]}}} or {{{fields[1]}}} in it",
            )

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
class Entry:
    """One thing that a command is about."""

    #: What was typed: an id, or a name.
    word: str
    #: The name that stands next to it; "" where there is none.
    name: str
    #: Where it stands, such as ``"line 3"``.
    place: str


@attrs.frozen
class Given:
    """What a user handed in: a plan that was printed, or ids, some with names."""

    #: A plan that was printed.
    plan: Plan | None = None
    entries: tuple[Entry, ...] = ()
    #: Where it comes from, such as ``"--from FILE"``, for errors.
    source: str = ""

    @property
    def nothing(self) -> str:
        """What is said where there is nothing to do."""
        if self.source and not self.entries:
            return f"nothing to do: {self.source} has no ids in it"
        return "nothing to do"

    @property
    def words(self) -> list[str]:
        """The ids, or names, of the things."""
        return [entry.word for entry in self.entries]

    @property
    def places(self) -> list[str]:
        """Where each of them stands; of what was typed, nothing is said."""
        if not self.source:
            return []
        return [f"{self.source}: {entry.place}" for entry in self.entries]

    def new_names(self) -> list[str]:
        """The name of each entry.

        Raises:
            CommandError: One has none, or one that cannot be sent; or two things get the same, or
                one gets two.
        """
        nameless = [entry for entry in self.entries if not entry.name]
        if nameless:
            raise self._nameless(nameless)
        different = {(entry.word, entry.name): entry for entry in self.entries}.values()
        problems = list(_bad_names(different))
        problems += _shared("name", {entry: entry.name for entry in different})
        problems += _shared("id", {entry: entry.word for entry in different})
        if problems:
            raise several(
                problems, f"{self.source}: {len(problems)} faults", about=f"{self.source}: "
            )
        return [entry.name for entry in self.entries]

    def _nameless(self, entries: Sequence[Entry]) -> CommandError:
        step = "write `ID NAME` a line, or give a template"
        if "," in entries[0].word:
            step = f"{step}; a space parts the two, not a comma"
        text = f"{entries[0].place} ({entries[0].word}) has no name after its id"
        if len(entries) > 1:
            text = f"{_named_places(entries)} have no name after their ids"
        return CommandError(f"{self.source}: {text}", next_step=step)


def _bad_names(entries: Iterable[Entry]) -> Iterator[str]:
    for entry in entries:
        try:
            checked_name(entry.name)
        except UsageError as error:
            yield f"{entry.place}: {error}"


def _shared(what: str, values: Mapping[Entry, str]) -> Iterator[str]:
    """A sentence for each value that more than one entry has."""
    by_value: dict[str, list[Entry]] = {}
    for entry, value in values.items():
        by_value.setdefault(value, []).append(entry)
    for value, entries in by_value.items():
        if len(entries) > 1:
            yield f"{_named_places(entries)} have the same {what}: {value!r}"


def _named_places(entries: Sequence[Entry]) -> str:
    """``line 1 and line 2``; of many, ``line 1, line 2, line 3 and 16 more``."""
    named_ = [entry.place for entry in entries[:_PLACES]]
    if len(entries) > _PLACES:
        named_.append(f"{len(entries) - _PLACES:,} more")
    return f"{', '.join(named_[:-1])} and {named_[-1]}"


def several(
    problems: Sequence[str],
    summary: str,
    code: Exit = Exit.USAGE,
    *,
    about: str = "",
    next_step: str = "",
) -> CommandError:
    """One error for all problems: a single one is its text, of many the first ones are shown.

    Args:
        problems: A sentence each.
        summary: What is said where there is more than one.
        code: The exit code.
        about: Put before a single problem.
        next_step: What to do about it.
    """
    if len(problems) == 1:
        return CommandError(f"{about}{problems[0]}", code, next_step=next_step)
    return CommandError(summary, code, next_step=next_step, details=problems)


def typed(word: str, name: str | None) -> Given:
    """What stands in the command line itself: one thing, and its new name if it has one.

    Raises:
        CommandError: The name cannot be sent.
    """
    try:
        if name is not None:
            checked_name(name)
    except UsageError as error:
        problem = str(error).removeprefix("name: ")
    else:
        return Given(entries=(Entry(word, name or "", "NAME"),))
    raise CommandError(f"NAME: {problem}")


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
    source = f"--from {place}"
    text = _text(place, source, stdin)
    if text.lstrip()[:1] in ("{", "["):
        return _Document(source, action).read(text)
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split(maxsplit=1)
        if words and not words[0].startswith("#"):
            entries.append(Entry(words[0], "".join(words[1:]).strip(), f"line {number}"))
    return Given(entries=tuple(entries), source=source)


def _text(place: str, source: str, stdin: TextIO) -> str:
    try:
        return stdin.read() if place == "-" else Path(place).read_text(encoding="utf-8-sig")
    except OSError as error:
        problem = error.strerror or str(error)
    except UnicodeDecodeError:
        problem = "it is not UTF-8 text"
    raise CommandError(f"{source}: {problem}")


@attrs.frozen
class _Document:
    """Reads a plan, or items, as JSON.

    Args:
        source: Where it comes from, for errors.
        action: What will be done.
    """

    source: str
    action: Action

    def read(self, text: str) -> Given:
        """What a document holds, or JSON lines."""
        try:
            found = json.loads(text)
        except ValueError as error:
            if "\n" not in text.strip():
                raise self._error(f"this is no JSON: {error}") from None
            return self._of_items(self._json_lines(text))
        if not _is_object(found):
            return self._of_items(self._numbered(found))
        if _is_object(found.get(_PLAN)):
            return Given(plan=self._plan({**found[_PLAN], "steps": found.get("items")}))
        if "steps" in found:
            return Given(plan=self._plan(found))
        return self._of_items(self._numbered(found.get("items", [found])))

    def _error(self, problem: str, *, next_step: str = "") -> CommandError:
        return CommandError(f"{self.source}: {problem}", next_step=next_step)

    def _numbered(self, items: object) -> list[tuple[str, object]]:
        """The items of a list, with the place of each."""
        if not isinstance(items, list):
            raise self._error("this JSON is neither a plan nor a list of items")
        return [(f"item {n}", item) for n, item in enumerate(cast("list[object]", items), 1)]

    def _json_lines(self, text: str) -> list[tuple[str, object]]:
        found: list[tuple[str, object]] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                found.append((f"line {number}", json.loads(line)))
            except ValueError:
                problem = f"line {number} is no JSON"
            else:
                continue
            raise self._error(problem)
        return found

    def _plan(self, stored: Mapping[str, Any]) -> Plan:
        try:
            plan = Plan.from_dict(stored)
        except UsageError as error:
            problem = str(error)
        else:
            if plan.action is self.action or not len(plan):
                return plan
            word = plan.action.value if plan.action else "mixed"
            raise self._error(f"this is a {word} plan, and the command is {self.action.value}")
        raise self._error(problem, next_step="make the plan anew, with --dry-run -o json")

    def _of_items(self, items: Iterable[tuple[str, object]]) -> Given:
        keys = _IMAGE_KEYS
        if self.action is Action.SAVE:
            keys = _NODE_KEYS
        entries: list[Entry] = []
        for place, item in items:
            fields = _fields(item, self.action)
            value = next((fields[key] for key in keys if fields.get(key) is not None), None)
            if not isinstance(value, str | int) or isinstance(value, bool):
                raise self._error(f"{place} has no {keys[0]}")
            name = next((str(fields[key]) for key in _NAME_KEYS if fields.get(key)), "")
            entries.append(Entry(str(value), name, place))
        return Given(entries=tuple(entries), source=self.source)


def _fields(item: object, action: Action) -> Mapping[str, Any]:
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
    match kind, bool(marker):
        case "none", False:
            return None
        case "distro", False:
            return select.by_distro
        case "name", True:
            return select.by_name(until=marker)
        case "os_distribution", True:
            return select.by_os_distribution(until=marker)
        case _:
            raise CommandError(f"--per: one of {', '.join(_GROUPS)} is needed, not {text!r}")


def check_filters(filters: Filters) -> None:
    """Check filters before anything is sent.

    Raises:
        CommandError: They are invalid.
    """
    filtered(filters, ())


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
        found.append(select.older_than(filters.older_than))
    if filters.newer_than is not None:
        found.append(select.newer_than(filters.newer_than))
    if filters.not_in_use:
        found.append(select.not_in_use())
    return found


def named(
    words: Sequence[str], images: Sequence[SavedImage], places: Sequence[str] = ()
) -> list[SavedImage | str]:
    """The images that are meant by ids or names.

    Args:
        words: What was typed.
        images: A listing.
        places: Where each word stands, for errors.

    Raises:
        CommandError: There is no such image, or more than one; all such words are named.
    """
    known = [(image.image_id, image.name) for image in images]
    by_id = {image.image_id: image for image in images}
    return [by_id.get(id_, id_) for id_ in ids_of(words, known, "image", places)]


def ids_of(
    words: Sequence[str],
    known: Iterable[tuple[str, str]],
    noun: str,
    places: Sequence[str] = (),
) -> list[str]:
    """The ids that are meant by ids or names.

    A word of digits is an id, also where nothing of that id is known. Any other is the id or the
    whole name of one thing.

    Args:
        words: What was typed.
        known: Ids and names of all that a listing shows.
        noun: What the things are, for errors.
        places: Where each word stands, for errors.

    Raises:
        CommandError: There is none, or more than one; all such words are named.
    """
    by_name: dict[str, list[str]] = {}
    for id_, name in known:
        by_name.setdefault(name, []).append(id_)
    ids = {id_ for same in by_name.values() for id_ in same}
    found: list[str] = []
    problems: list[str] = []
    for place, word in zip_longest(places, words):
        same = by_name.get(word, [])
        if word in ids or word.isdecimal():
            same = [word]
        if len(same) == 1:
            found += same
        else:
            start = f"{place}: " if place else ""
            problems.append(start + _said_of_word(word, same, noun, by_name))
    if not problems:
        return found
    raise several(
        problems,
        f"{len(problems)} {noun}s cannot be found",
        Exit.FAILED,
        next_step=f"`aioe2e {noun}s list` says what is there; "
        "a listing shows one location of one project",
    )


def _said_of_word(word: str, same: Sequence[str], noun: str, names: Iterable[str]) -> str:
    """Why a word means no thing: there is none of that name, or more than one."""
    if same:
        return f"{len(same)} {noun}s are called {word!r}: {', '.join(same)}"
    return f"there is no {noun} {word!r}{nearest(word, names)}"


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
    ways = [_WAYS.get(name, name) for name in choices]
    raise CommandError(f"nothing is selected: give {', '.join(ways[:-1])} or {ways[-1]}")


def names_of_nodes(template: Template, nodes: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """For each node, its id and the name of its image."""
    now = now_fields()
    return [(id_, template({**now, "id": id_, "node": name or id_})) for id_, name in nodes]


async def meant_nodes(
    session: Session,
    words: Sequence[str],
    *,
    every: bool,
    names: bool,
    places: Sequence[str] = (),
) -> list[tuple[str, str]]:
    """The ids and names of the nodes that are meant.

    Args:
        session: Where they are looked up, if need be.
        words: Ids or names.
        every: Whether all nodes are meant.
        names: Whether their names are needed; else a name may be "".
        places: Where each word stands, for errors.
    """
    needs_listing = names or every
    if not needs_listing and all(map(str.isdecimal, words)):
        return [(word, "") for word in words]
    known = {node.node_id: node.name for node in await session.nodes.list()}
    ids = [*known] if every else ids_of(words, known.items(), "node", places)
    return [(id_, known.get(id_, "")) for id_ in ids]
