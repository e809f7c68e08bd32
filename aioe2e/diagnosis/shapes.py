"""The shape of JSON without its values: what a report may show without showing whose account it is.

Of the texts in a reply a report shows only words for states and names of keys, and those only if
they cannot be a name, an id or an address of the account: see `Vocabulary`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from aioe2e._wire import is_array, is_object

#: Levels of objects that are described, and keys of one object beyond which they count as data.
_DEEPEST: Final = 4
_MOST_KEYS: Final = 60
_KEY: Final = re.compile(r"[A-Za-z][A-Za-z_]{0,39}", re.ASCII)
_STATE: Final = re.compile(r"[A-Za-z]{2,14}(?:[ _][A-Za-z]{2,14}){0,2}", re.ASCII)
_MONTHS: Final = re.compile(r"(?<![A-Za-z])(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)")
#: A size may also have no unit.
_UNITS: Final = frozenset(
    {"", "B", "KB", "MB", "GB", "TB", "KIB", "MIB", "GIB", "TIB", "K", "M", "G"}
)
_ID: Final = re.compile(r"\d+", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d+\.\d+", re.ASCII)
_ADDRESS: Final = re.compile(
    r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-f]*:[0-9a-f:.]+", re.IGNORECASE | re.ASCII
)
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_FORM_LIMIT: Final = 40
#: Keys that APIs are likely to use in objects within elements.
_USUAL_KEYS: Final = frozenset(
    [
        "category",
        "cloning_ops",
        "code",
        "cpu",
        "created",
        "created_at",
        "currency",
        "date",
        "description",
        "detail",
        "details",
        "disk",
        "distro",
        "full_name",
        "id",
        "image",
        "image_id",
        "image_name",
        "ip",
        "ip_address",
        "is_active",
        "is_locked",
        "is_running",
        "label",
        "location",
        "memory",
        "message",
        "name",
        "node",
        "node_id",
        "node_name",
        "os",
        "plan",
        "price",
        "private_ip",
        "private_ip_address",
        "project_id",
        "project_name",
        "public_ip",
        "public_ip_address",
        "ram",
        "region",
        "size",
        "state",
        "status",
        "tags",
        "template_id",
        "timestamp",
        "type",
        "unit",
        "updated_at",
        "user",
        "uuid",
        "value",
        "vcpus",
        "version",
        "vm",
        "vm_detail",
        "vm_id",
        "vm_name",
        "vm_state",
        "vm_status",
        "zone",
    ]
)
_HIDDEN_KEY: Final = "[key]"


class Vocabulary:
    """Separates the words of the API, which a report shows, from those of the account.

    Args:
        replies: The JSON of all replies. A text that is a value anywhere in them is not shown as a
            key.
        known: Keys that the API is known to use.
    """

    def __init__(self, replies: Iterable[Any], known: Iterable[str]) -> None:
        self._known = frozenset(known)
        self._values: set[str] = set()
        for reply in replies:
            self._learn(reply, "")

    def _learn(self, value: Any, key: str) -> None:
        if is_object(value):
            for name, item in value.items():
                self._learn(item, name)
        elif is_array(value):
            for item in value:
                self._learn(item, key)
        elif isinstance(value, str) and not is_state_key(key):
            self._values.add(value.strip().lower())

    def key(self, word: str, *, is_nested: bool = False) -> str:
        """A key as a report shows it.

        Args:
            word: The key.
            is_nested: Whether it is in an object within an element. The keys of such an object may
                be names of the account, so only words that APIs use are shown.
        """
        if word in self._known:
            return word
        if is_nested:
            return word if word.lower() in _USUAL_KEYS else _HIDDEN_KEY
        return word if self._may_show(word, _KEY) else _HIDDEN_KEY

    def state(self, word: str) -> str:
        """A word for a state as a report shows it."""
        text = word.strip()
        return text if self._may_show(text, _STATE) else "[text]"

    def _may_show(self, text: str, form: re.Pattern[str]) -> bool:
        """Whether a text has the form of a word of the API, and is no value in a reply."""
        return text.lower() not in self._values and form.fullmatch(text) is not None


def is_state_key(key: str) -> bool:
    """Whether the values of a key are words for states."""
    return key in ("status", "state", "image_state")


def is_date_key(key: str) -> bool:
    """Whether a key seems to be about a moment."""
    words = key.lower().split("_")
    return bool({"time", "date", "timestamp", "at"} & set(words))


def is_size_key(key: str) -> bool:
    """Whether a key seems to be about a size."""
    return bool({"size", "disk", "memory", "ram"} & set(key.lower().split("_")))


def kind(value: Any) -> str:
    """What kind of value it is, in a word or two."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if is_array(value):
        return "list" if value else "empty list"
    if is_object(value):
        return "object" if value else "empty object"
    return _kind_of_text(str(value))


def _kind_of_text(text: str) -> str:
    forms = {
        "text of digits": _ID,
        "text of a number": _NUMBER,
        "text of an address": _ADDRESS,
        "text of a UUID": _UUID,
    }
    if not text:
        return "empty text"
    return next((name for name, form in forms.items() if form.fullmatch(text)), "text")


def form_of_date(text: str) -> str:
    """How a moment is written: ``99-99-9999 99:99:99``."""
    with_months = _MONTHS.sub("Mon", text[:_FORM_LIMIT])
    form = re.sub(r"[0-9]", "9", with_months)
    plain = re.sub(r"Mon|(?<=9)T(?=9)|Z$|[-+:. 9/,]", "", form)
    return form if not plain else "another form"


def form_of_size(text: str) -> str:
    """How a size is written: ``9 GB``."""
    match = re.fullmatch(r"\s*\d+(\.\d+)?(\s*)([A-Za-z]*)\s*", text[:_FORM_LIMIT], re.ASCII)
    if match is None or match[3].upper() not in _UNITS:
        return "another form"
    number, space = "9", ""
    if match[1]:
        number = "9.9"
    if match[2]:
        space = " "
    return f"{number}{space}{match[3]}"


def shape_of_objects(
    objects: Iterable[Any], vocabulary: Vocabulary, known: Iterable[str] = (), depth: int = _DEEPEST
) -> dict[str, Any]:
    """What the fields of some objects are like, over all of them.

    Args:
        objects: The objects; other values are ignored.
        vocabulary: Which words may be shown.
        known: Fields that the library reads.
        depth: Levels of objects below these that are described.

    Returns:
        For each key: ``kinds`` with their counts; ``known``; ``forms`` of dates and sizes;
        ``words`` of states; ``fields`` of objects in it.
    """
    is_nested = depth < _DEEPEST
    values: dict[str, list[Any]] = {}
    for each in filter(is_object, objects):
        for key, value in each.items():
            word = vocabulary.key(key, is_nested=is_nested)
            values.setdefault(word, []).append(value)
    if len(values) > _MOST_KEYS:
        values = {_HIDDEN_KEY: [value for some in values.values() for value in some]}
    is_known = frozenset(known)
    return {
        key: {
            "known": key in is_known,
            **_shape_of_field(key, values[key], vocabulary, depth),
        }
        for key in sorted(values)
    }


def _shape_of_field(
    key: str, values: list[Any], vocabulary: Vocabulary, depth: int
) -> dict[str, Any]:
    """The kinds of the values of a field, and what is in them."""
    shape: dict[str, Any] = {"kinds": counts(map(kind, values))}
    texts = [value for value in values if isinstance(value, str) and value]
    shape.update(_shape_of_texts(key, texts, vocabulary))
    inner = list(_objects_in(values))
    if inner and depth:
        shape["fields"] = shape_of_objects(inner, vocabulary, (), depth - 1)
    return shape


def _objects_in(values: list[Any]) -> Iterator[Any]:
    """The objects among some values, and those in lists among them."""
    for value in values:
        if is_object(value):
            yield value
        elif is_array(value):
            yield from filter(is_object, value)


def _shape_of_texts(key: str, texts: list[str], vocabulary: Vocabulary) -> dict[str, Any]:
    """The forms of dates and sizes, and the words of states."""
    if is_date_key(key):
        return {"forms": counts(map(form_of_date, texts))}
    if is_size_key(key):
        return {"forms": counts(map(form_of_size, texts))}
    if is_state_key(key):
        return {"words": counts(map(vocabulary.state, texts))}
    return {}


def counts(words: Iterable[str]) -> dict[str, int]:
    """How often each word occurs, the most frequent first."""
    return dict(Counter(words).most_common(_MOST_KEYS))


def shape_of_envelope(content: Any, vocabulary: Vocabulary) -> Mapping[str, Any]:
    """The keys of an envelope with the kinds of their values; its code and its errors' keys."""
    if not is_object(content):
        return {"kind": kind(content)}
    shape: dict[str, Any] = {
        "keys": {vocabulary.key(key): kind(value) for key, value in sorted(content.items())}
    }
    for key in ("code", "status_code"):
        if isinstance(content.get(key), int):
            shape[key] = content[key]
    if content.get("message") in ("Success", "OK", "Ok", "success"):
        shape["message"] = content["message"]
    return shape


_QUOTED: Final = re.compile(r"""(["'`]).*?\1""")
_MAIL: Final = re.compile(r"\S+@\S+")
_WITH_DIGITS: Final = re.compile(r"\S*\d\S*")


def masked_sentence(text: str, own: Iterable[str] = ()) -> str:
    """A sentence of the server without what may be of the account: words with digits, quotations.

    Args:
        text: The sentence.
        own: Texts that are replaced wherever they occur.
    """
    for word in own:
        if word:
            text = text.replace(word, "[ours]")
    text = _MAIL.sub("[mail]", _QUOTED.sub("[quoted]", text))
    return _WITH_DIGITS.sub("[9]", text)[:200]
