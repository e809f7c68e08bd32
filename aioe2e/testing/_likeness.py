"""Turns the field report of a real account into options for an emulator that behaves like it."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias, cast

from aioe2e._check import is_whole
from aioe2e.diagnosis import FieldReport
from aioe2e.errors import UsageError
from aioe2e.testing.account import made_images, made_nodes

from . import _checks as checks

#: What `FakeE2E.like` takes: a report, its `to_dict`, or a file with either form.
ReportLike: TypeAlias = FieldReport | Mapping[str, Any] | str | PathLike[str]
_Fields: TypeAlias = Mapping[str, Any]

_IMAGES, _NODES, _NODE = "images/saved-images/", "nodes/", "nodes/{id}/"
#: More objects than this are not made up by default, however large the account is.
_MOST = 10_000
#: A clock that is off by less counts as right: a Date has whole seconds.
_NO_SKEW = 2.0
#: The states that only OpenNebula has, or that the vendor writes in another way.
_OPENNEBULA = frozenset({"INIT", "USED", "LOCKED", "CLONE", "DELETE", "USED_PERS", "LOCKED_USED"})
#: The dialect, by what the trial answered about POST.
_DIALECTS: Mapping[str, str] = {
    "yes": "documented",
    "no, but the method of newer clients does": "current",
    "no, but PUT does": "put",
}
#: A value for a field that the emulator does not know, by the report's word for its kind.
_SAMPLES: Mapping[str, Any] = {
    "null": None,
    "bool": False,
    "int": 7,
    "float": 7.5,
    "list": ["text"],
    "empty list": [],
    "empty object": {},
    "empty text": "",
    "text": "text",
    "text of digits": "7",
    "text of a number": "7.5",
    "text of an address": "192.0.2.7",
    "text of a UUID": "00000000-0000-4000-8000-000000000007",
}


def options_like(source: ReportLike, *, seed: int = 0) -> dict[str, Any]:
    """The keywords with which `FakeE2E` behaves as a report says.

    Args:
        source: The report.
        seed: Of the images and nodes that are made up in its shape.

    Raises:
        UsageError: It is not a field report.
        OSError: The file cannot be read.
    """
    report = _read(source)
    dice = random.Random(seed)
    found: dict[str, Any] = {}
    listing = _route(report, _IMAGES)
    found["images"] = _objects(listing, made_images(_count(listing), seed), "image_id", dice)
    rows, details = _route(report, _NODES), _route(report, _NODE)
    both = {"fields": {**_part(details, "fields"), **_part(rows, "fields")}}
    found["nodes"] = _objects(both, made_nodes(_count(rows), seed), "id", dice)
    seconds = listing.get("seconds")
    if checks.is_number(seconds) and seconds >= 0:
        found["latency"] = float(seconds)
    found |= _of_headers(_part(listing, "headers"))
    found |= _of_answers(report.answers)
    skew = report.clock_skew or 0.0
    if abs(skew) >= _NO_SKEW:
        found["date_offset"] = skew
    if _counts(report.images, "ends").get("-disk-9", 0) * 2 > _count(listing):
        found["disk_suffix"] = True
    if _OPENNEBULA.intersection(_words(listing)):
        found["opennebula"] = True
    return found


def _read(source: object) -> FieldReport:
    if isinstance(source, FieldReport):
        return source
    if isinstance(source, Mapping):
        return FieldReport.from_dict(cast("Mapping[str, Any]", source))
    if not isinstance(source, str | PathLike):
        checks.refuse("report", "a FieldReport, its dict, or a file with it", source)
    path = Path(cast("str | PathLike[str]", source))
    try:
        text = path.read_text(encoding="utf-8-sig")
        # A printed report has its JSON between fences.
        fenced = re.search(r"```json\n(.*?)```", text, re.DOTALL)
        content = json.loads(fenced[1] if fenced else text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not a JSON file: {error}") from None
    try:
        return FieldReport.from_dict(content)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def _route(report: FieldReport, route: str) -> Mapping[str, Any]:
    """What a report says of a route; empty if the route could not be read."""
    return _part(report.routes, route)


def _part(told: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """A part of a report that is an object; empty if it is anything else."""
    part = told.get(name)
    return cast("Mapping[str, Any]", part) if isinstance(part, Mapping) else {}


def _counts(told: Mapping[str, Any], name: str) -> dict[str, int]:
    """How often each word was seen, without the placeholders of hidden ones."""
    counts = _part(told, name)
    return {
        word: count
        for word, count in counts.items()
        if is_whole(count, least=1) and not _is_placeholder(word)
    }


def _is_placeholder(word: str) -> bool:
    """Whether a report has this in place of a word that it hides."""
    return word.startswith("[")


def _count(told: Mapping[str, Any]) -> int:
    count = told.get("elements")
    return min(count, _MOST) if is_whole(count) else 0


def _words(told: Mapping[str, Any]) -> set[str]:
    state = _part(_part(told, "fields"), "image_state")
    return set(_counts(state, "words"))


def _of_headers(headers: Mapping[str, Any]) -> dict[str, Any]:
    if not headers:
        return {}
    found: dict[str, Any] = {"send_date": "date" in headers}
    for family in ("ratelimit", "x-ratelimit"):
        limit = str(headers.get(f"{family}-limit", ""))
        if re.fullmatch("0*[1-9][0-9]*", limit):
            found["requests_per_hour"] = int(limit)
            found["rate_limit_headers"] = family
    return found


def _of_answers(answers: Mapping[str, str]) -> dict[str, Any]:
    """The rules that a trial with one image showed."""
    found: dict[str, Any] = {}
    posts = (answers.get(f"Does POST work for a {action}?", "") for action in _ACTIONS)
    dialects = {_DIALECTS[answer] for answer in posts if answer in _DIALECTS}
    if dialects:
        found["dialects"] = sorted(dialects)
    lag = _seconds(answers, "How long until a new name is listed?")
    for rule, question in _TIMES.items():
        if question in answers:
            found[rule] = _seconds(answers, question)
    found["listing_lag"] = lag
    if "visible_after" in found:
        found["visible_after"] = max(0.0, found["visible_after"] - lag)
    if answers.get("Which states does it show until then?", "none") != "none":
        gone = _seconds(answers, "How long until a deleted image is gone?")
        found["delete_seconds"] = max(0.0, gone - lag)
    found["image_id_in_save"] = "image_id" in answers.get("What does a save answer?", "")
    states = re.findall(r"\w+", answers.get("Which states does it go through?", ""))
    if _OPENNEBULA.intersection(states):
        found["opennebula"] = True
    return found


#: What the made-up objects call a field that has another name in the report.
_OWN_NAMES: Mapping[str, str] = {"image_name": "name"}
_ACTIONS = ("save", "rename", "delete")
#: The rules whose seconds a trial measured.
_TIMES: Mapping[str, str] = {
    "save_seconds": "How long until it is ready?",
    "visible_after": "How long until a saved image is listed?",
}


def _seconds(answers: Mapping[str, str], question: str) -> float:
    measured = re.match(r"(\d+(?:\.\d+)?) s", answers.get(question, ""))
    return float(measured[1]) if measured else 0.0


# Objects in the shape of a report


def _objects(
    told: Mapping[str, Any], objects: list[dict[str, Any]], key: str, dice: random.Random
) -> list[dict[str, Any]]:
    fields = _part(told, "fields")
    if not fields:
        return objects
    return [{key: item[key], **_shaped(item, fields, key, dice)} for item in objects]


def _shaped(
    item: Mapping[str, Any], fields: _Fields, key: str, dice: random.Random
) -> dict[str, Any]:
    """An object with the fields of a report, each of a kind that it was seen to have there."""
    return {
        name: _field(name, item, _part(fields, name), dice, is_key=name == key)
        for name in fields
        if not _is_placeholder(name)
    }


def _field(
    name: str,
    item: Mapping[str, Any],
    told: Mapping[str, Any],
    dice: random.Random,
    *,
    is_key: bool,
) -> Any:
    """A value for one field: that of the made-up object, in the form that the report says."""
    own_name = _OWN_NAMES.get(name, name)
    known = item.get(own_name)
    kind = _chosen(_counts(told, "kinds"), dice)
    if kind == "object":
        nested = _shaped({}, _part(told, "fields"), "", dice)
        return _part(item, own_name) or nested
    if words := _counts(told, "words"):
        return _chosen(words, dice)
    value = _respelled(known, kind)
    if is_key and isinstance(value, bool | None):  # those are no ids
        value = known
    return _dated(value, _counts(told, "forms"))


def _chosen(counts: Mapping[str, int], dice: random.Random) -> str:
    if not counts:
        return "text"
    return dice.choices(list(counts), weights=list(counts.values()))[0]


def _respelled(value: Any, kind: str) -> Any:
    """A value in another kind; a sample of that kind if it cannot be written that way."""
    sample = _SAMPLES.get(kind)
    make = _MAKERS.get(kind)
    if value is None or make is None:
        return sample
    try:
        return make(value)
    except (TypeError, ValueError):
        return sample


def _digits(value: Any) -> str:
    return str(int(value))


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("not a bool")
    return value


_MAKERS: Mapping[str, Callable[[Any], Any]] = {
    "bool": _bool,
    "int": int,
    "float": float,
    "text": str,
    "text of digits": _digits,
    "text of an address": str,
    "list": list,
}


def _dated(value: Any, forms: Mapping[str, int]) -> Any:
    """A day-first moment in the form that most moments of a report have."""
    form = max(forms, key=lambda one: forms[one], default="")
    if not isinstance(value, str) or not re.fullmatch(r"\d\d-\d\d-\d{4} [\d:]{8}", value):
        return value
    moment = datetime.strptime(f"{value} +0530", "%d-%m-%Y %H:%M:%S %z")
    if form.startswith("9999-"):
        return moment.isoformat()
    return moment.strftime("%d-%b-%Y %H:%M:%S") if "Mon" in form else value
