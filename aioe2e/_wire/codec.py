"""From JSON to models, by the one cattrs converter.

It is tolerant where the API wobbles, and strict where it must not.

The server types the same field as text here and as a number there, so every type of a model field
has a *reader*: a function that gives the value, or `UNREADABLE`. What cannot be read goes to
`extra` as it came; nothing raises on the way, because a listing has thousands of fields. Only
fields without a default (an id) are indispensable.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from functools import cache, lru_cache, partial
from typing import Any, Final, TypeVar

import attrs
import cattrs

from aioe2e._text import Redactor
from aioe2e.errors import ResponseError
from aioe2e.models import NO_EXTRA, Extra, Node, SaveAction, SavedImage

from .json import Enough, is_array, is_object, parse_in_slices

M = TypeVar("M", SavedImage, Node)

#: Zone of every time that the server writes without one (UTC+05:30).
IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")


class _Unreadable:
    __slots__ = ()


UNREADABLE: Final = _Unreadable()

_MONTHS: Mapping[str, int] = {
    "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
    "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
}  # fmt: skip
_WHOLE = re.compile(r"\d{1,18}(?:\.0*)?", re.ASCII)

#: What a field holds that has no value.
_EMPTY = (None, "")


@cache
def _day_first() -> re.Pattern[str]:
    """Compiled when the first time comes: an import has no use for it."""
    return re.compile(
        r"(\d{1,2})-(\d{1,2}|[A-Za-z]{3})-(\d{4})[ T](\d{1,2}):(\d{2}):(\d{2})", re.ASCII
    )


@lru_cache(maxsize=4096)
def _date(text: str) -> datetime | _Unreadable:
    try:
        if match := _day_first().fullmatch(text.strip()):
            day, month, year, hour, minute, second = match.groups()
            number = int(month) if month.isdigit() else _MONTHS[month.lower()]
            moment = datetime(
                int(year), number, int(day), int(hour), int(minute), int(second), tzinfo=IST
            )
        else:
            moment = datetime.fromisoformat(text.strip())
    except (ValueError, KeyError, OverflowError):
        return UNREADABLE
    return moment if moment.tzinfo else moment.replace(tzinfo=IST)


def read_date(value: Any, _: Any = None) -> Any:
    """A time: day first (``31-10-2019 11:59:58``, ``01-Jan-2025 10:00:00``) or ISO 8601.

    Where no zone is named it is Indian time.
    """
    return _date(value) if isinstance(value, str) and len(value) < 64 else UNREADABLE


@lru_cache(maxsize=4096)
def _count(text: str) -> int | _Unreadable:
    digits = text.strip()
    if not _WHOLE.fullmatch(digits):
        return UNREADABLE
    return int(digits.split(".")[0])


def read_count(value: Any, _: Any = None) -> Any:
    """A whole number of 0 or more, as a number or as text."""
    if type(value) is str:
        return _count(value) if len(value) < 64 else UNREADABLE
    if type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is int and value >= 0:
        return value
    return UNREADABLE


def read_text(value: Any, _: Any = None) -> Any:
    """Text, or a number as text."""
    if type(value) is str:
        return value
    if type(value) is int:
        return str(value)
    if type(value) is float and math.isfinite(value):
        return repr(value)
    return UNREADABLE


def read_flag(value: Any, _: Any = None) -> Any:
    """True or false, as JSON, as text or as 1 and 0."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, str | int):
        return UNREADABLE
    return _FLAGS.get(str(value).strip().lower(), UNREADABLE)


_FLAGS: Mapping[str, bool] = {"true": True, "false": False, "1": True, "0": False}


def read_objects(value: Any, _: Any = None) -> Any:
    """A list, as a tuple; a single object or text is a tuple of one."""
    if is_array(value):
        return tuple(value)
    if isinstance(value, dict | str):
        return (value,)
    return UNREADABLE


def read_id(value: Any, _: Any = None) -> Any:
    """An id: digits or text. Never a bool, a float, a list or an object."""
    if type(value) is str:
        return value.strip() or UNREADABLE
    if type(value) is int and 0 <= value < 10**128:
        return str(value)
    return UNREADABLE


def read_address(value: Any, _: Any = None) -> Any:
    """An IP address. A node without one was seen to have an empty list, or the text of one."""
    if is_array(value):
        return UNREADABLE if value else None
    return None if value == "[]" else read_text(value)


#: Gives the value of a field, or `UNREADABLE`.
_Reader = Callable[[Any, Any], Any]

_READERS: Mapping[Any, _Reader] = {
    str: read_text,
    str | None: read_text,
    int: read_count,
    int | None: read_count,
    bool | None: read_flag,
    datetime | None: read_date,
    tuple[Any, ...]: read_objects,
}


class NotReadable(Exception):  # noqa: N818  # no error: how a hook tells its caller what is missing
    """An object cannot become a model; `problem` names the path below it."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


#: Optional fields that hold an id, too.
_IDS = frozenset({"action_id", "image_id", "vm_id"})

#: Fields that hold an IP address.
_ADDRESSES = frozenset({"public_ip", "private_ip"})

#: Other spellings of a key, used when the key itself is missing or empty.
_ALIASES: Mapping[type, Mapping[str, str]] = {
    SavedImage: {"name": "image_name"},
    SaveAction: {"action_id": "id"},
    Node: {
        "node_id": "id",
        "public_ip": "public_ip_address",
        "private_ip": "private_ip_address",
    },
}


def _tolerant_hook(model: type[Any], converter: cattrs.Converter) -> Callable[[Any, Any], Any]:
    """A structure hook for a model: the fields it knows are read, all else is kept in ``extra``."""
    fields = [field for field in attrs.fields(attrs.resolve_types(model)) if field.name != "extra"]
    required = [field.name for field in fields if field.default is attrs.NOTHING]
    readers = {field.name: _reader_of(field, converter) for field in fields}
    aliases = _ALIASES.get(model, {})

    def structure(raw: Any, _: Any = None) -> Any:
        if not is_object(raw):
            raise NotReadable(f": an object was expected, not {type(raw).__name__}")
        for key, alias in aliases.items():
            if alias in raw:
                raw = _under_its_key(raw, key, alias, readers[key])
        values, extra = _read_fields(raw, readers)
        for key in required:
            if key not in values:
                raise NotReadable(f".{key}: {_why_no_id(raw.get(key))}")
        return model(**values, extra=Extra(extra) if extra else NO_EXTRA)

    return structure


def _read_fields(
    raw: Mapping[str, Any], readers: Mapping[str, _Reader]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that can be read, and all else: the hot loop of every listing."""
    values: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    for key, value in raw.items():
        reader = readers.get(key)
        if reader is None:
            extra[key] = value
        elif reader is read_text and type(value) is str:  # as most fields are
            if value:
                values[key] = value
        elif value not in _EMPTY:
            read = reader(value, None)
            if read is UNREADABLE:
                extra[key] = value
            else:
                values[key] = read
    return values, extra


def _under_its_key(
    raw: Mapping[str, Any], key: str, alias: str, reader: _Reader
) -> Mapping[str, Any]:
    """The object with a value under the field's own key, where only its other spelling has one."""
    has_own = raw.get(key) not in _EMPTY
    if has_own or _is_unreadable(reader, raw[alias]):
        return raw
    return {key: raw[alias], **{k: v for k, v in raw.items() if k not in (key, alias)}}


def _reader_of(field: attrs.Attribute[Any], converter: cattrs.Converter) -> _Reader:
    if field.default is attrs.NOTHING or field.name in _IDS:
        return read_id
    if field.name in _ADDRESSES:
        return read_address
    if field.type not in _READERS:
        raise TypeError(
            f"the field {field.name} is of type {field.type}, which has no reader in _READERS"
        )
    return converter.get_structure_hook(field.type)


def _is_unreadable(reader: _Reader, value: Any) -> bool:
    return value not in _EMPTY and reader(value, None) is UNREADABLE


def _why_no_id(value: Any) -> str:
    if value in _EMPTY:
        return "missing"
    return f"{type(value).__name__} is no id"


@cache
def converter() -> cattrs.Converter:
    """The one converter, made when the first reply comes: an import has no use for it."""
    made = cattrs.Converter(detailed_validation=False)
    for type_, reader in _READERS.items():
        if isinstance(type_, type):
            made.register_structure_hook(type_, reader)
        else:  # unions and parametrised types
            made.register_structure_hook_func(partial(operator.eq, type_), reader)

    def is_model(kind: Any) -> bool:
        return kind in (SavedImage, SaveAction, Node)

    def hook(model: type[Any]) -> _Reader:
        return _tolerant_hook(model, made)

    made.register_structure_hook_factory(is_model, hook)
    return made


#: Elements decoded between two yields to the loop (about a millisecond).
_SLICE = 100
_MOST_PROBLEMS = 20


class _Odd:
    """Stands in a listing for an element that is no such model."""

    __slots__ = ("problem",)

    def __init__(self, problem: str) -> None:
        self.problem: str = problem


class ModelReader:
    """Makes models of the elements of a listing, one by one.

    Args:
        model: The model.
        most: Elements at the most. One more is read, so that the listing is seen to be too long.
    """

    def __init__(self, model: type[Any], most: int) -> None:
        self._model = model
        self._structure = converter().get_structure_hook(model)
        self._left = most + 1
        self._problems = 0

    def __call__(self, raw: Any) -> Any:
        """The model; for an element that cannot become one, what `_in_slices` makes a problem of.

        Raises:
            Enough: Nothing more has to be read: the listing is too long, or too odd.
        """
        if not self._left or self._problems >= _MOST_PROBLEMS:
            raise Enough
        self._left -= 1
        try:
            return self._structure(raw, self._model)
        except NotReadable as stop:
            self._problems += 1
            return _Odd(stop.problem)


def read_listing(
    body: bytes, model: type[Any] | None, most: int, redactor: Redactor
) -> Generator[None, None, Any]:
    """The reply as JSON whose ``data`` holds models, or an `Unreadable`.

    Args:
        body: The reply.
        model: What the elements are; None to leave them as they are.
        most: Elements at the most. Reading ends one after that, and also after the first few
            elements that are no such model.
        redactor: Takes out secrets that the server echoes.

    Yields:
        Whenever it is time to let others run.
    """
    read = _as_it_is if model is None else ModelReader(model, most)
    if not (yield from redactor.is_echoed(body)):
        return (yield from parse_in_slices(body, read))

    def read_clean(raw: Any) -> Any:
        return read(redactor.without_secrets(raw))

    content = yield from parse_in_slices(body, read_clean)
    return redactor.without_secrets(content)


def _as_it_is(raw: Any) -> Any:
    return raw


def images_in_slices(data: Sequence[Any], most: int) -> Generator[None, None, list[SavedImage]]:
    """The images of a listing, as a generator that yields to let others run.

    Args:
        data: Its elements, as JSON or as `ModelReader` made them.
        most: Elements at the most.

    Raises:
        ResponseError: There are more, or elements without an id, such as those of the catalogue of
            plans; each with its JSON path.
    """
    return (yield from _in_slices(data, SavedImage, most, "saved images"))


def nodes_in_slices(data: Sequence[Any], most: int) -> Generator[None, None, list[Node]]:
    """The nodes of a list, as a generator that yields to let others run.

    Args:
        data: Its elements, as JSON or as `ModelReader` made them.
        most: Elements at the most.

    Raises:
        ResponseError: There are more, or elements without an id, each with its JSON path.
    """
    return (yield from _in_slices(data, Node, most, "nodes"))


def _in_slices(
    data: Sequence[Any], model: type[M], most: int, what: str
) -> Generator[None, None, list[M]]:
    if len(data) > most:
        raise ResponseError(
            f"listing the {what}: more than {most} of them: raise Limits.max_elements if that is "
            "what the account has"
        )
    read = ModelReader(model, most)
    is_read = (model, _Odd)
    found: list[M] = []
    problems: list[str] = []
    for index, raw in enumerate(data):
        if index and index % _SLICE == 0:
            yield
        element: M | _Odd = raw if isinstance(raw, is_read) else read(raw)
        if not isinstance(element, _Odd):
            found.append(element)
            continue
        problems.append(f"$.data[{index}]{element.problem}")
        if len(problems) == _MOST_PROBLEMS:
            break
    if problems:
        raise _no_list(what, problems)
    return found


def _no_list(what: str, problems: Sequence[str]) -> ResponseError:
    more = ""
    if len(problems) > 1:
        more = f" (and {len(problems) - 1} more)"
    return ResponseError(
        f"listing the {what}: not a list of {what}: {problems[0]}{more}", problems=problems
    )


def node_of(data: Any) -> Node:
    """The node that a reply shows in its ``data``.

    Raises:
        ResponseError: It shows none.
    """
    problem = ""
    try:
        known: Node = converter().structure(data, Node)
        return known
    except NotReadable as stop:
        problem = f"$.data{stop.problem}"
    raise ResponseError(f"get of a node: not a node: {problem}", problems=[problem])


def save_action(data: Any, node: str, name: str) -> SaveAction:
    """The accepted save; the reply's ``data`` may be missing, empty, or not an object at all."""
    raw: dict[str, Any] = {}
    if is_object(data):
        raw = data
    elif data is not None:
        raw = {"data": data}
    known: SaveAction = converter().structure({**raw, "node_id": node, "name": name}, SaveAction)
    return known
