"""The reference: every public name says what it is, in the same form as the others."""

from __future__ import annotations

import enum
import importlib
import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from test_docs import described_names, section

#: What the pages of the reference leave out: internal members of public classes.
INTERNAL = {
    "BulkError.derive",
    "Kind.play",
    "Outcome.of_record",
    "Outcome.record",
    "RecordedRequest.forget_derived",
    "RecordedRequest.route",
}
#: With which a summary of a function begins.
VERBS = {
    "Carry",
    "Check",
    "Close",
    "Delete",
    "Describe",
    "Let",
    "Make",
    "Plan",
    "Raise",
    "Rebuild",
    "Rename",
    "Report",
    "Return",
    "Run",
    "Save",
    "Send",
    "Settle",
    "Split",
    "Start",
    "Stop",
    "Wait",
}


def public_objects() -> Iterator[tuple[str, Any]]:
    for module, names in described_names().items():
        for name in sorted(names):
            owner, _, last = name.rpartition(".")
            yield last, getattr(importlib.import_module(owner or module), last)


CLASSES = {
    name: value
    for name, value in public_objects()
    if inspect.isclass(value) and value.__name__ == name
}


def functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    yield from ((name, value) for name, value in public_objects() if inspect.isfunction(value))
    for name, cls in CLASSES.items():
        for member in dir(cls):
            found = inspect.getattr_static(cls, member)
            function = getattr(found, "__func__", found)
            is_ours = inspect.isfunction(function) and str(function.__module__).startswith("aioe2e")
            if is_ours and not member.startswith("_") and f"{name}.{member}" not in INTERNAL:
                yield f"{name}.{member}", function


FUNCTIONS = dict(functions())


def fields_of(cls: type[Any]) -> list[str]:
    if issubclass(cls, enum.Enum):
        return list(cls.__members__)
    if attrs.has(cls):
        return [field.name for field in attrs.fields(cls) if not field.name.startswith("_")]
    return []


def commented(cls: type[Any]) -> set[str]:
    """The fields with a comment for the reference, or a line of their own in the docstring."""
    found: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("aioe2e"):
            source = inspect.getsource(base)
            found |= set(re.findall(r"^    #: .*\n    (\w+)(?::| =)", source, re.MULTILINE))
            docstring = inspect.getdoc(base) or ""
            found |= set(re.findall(r"^    (\w+): ", docstring, re.MULTILINE))
    return found


@pytest.mark.parametrize("name", [name for name, cls in CLASSES.items() if fields_of(cls)])
def test_every_field_is_described(name: str) -> None:
    shown = {field for field in fields_of(CLASSES[name]) if f"{name}.{field}" not in INTERNAL}
    assert shown - commented(CLASSES[name]) == set()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_summary_of_a_function_begins_with_a_verb(name: str) -> None:
    docstring = inspect.getdoc(FUNCTIONS[name]) or ""
    assert docstring.partition(" ")[0] in VERBS, docstring


def described_arguments(value: object) -> set[str]:
    lines = section(inspect.getdoc(value) or "", "Args")
    return {line.partition(":")[0].lstrip("*") for line in lines}


def arguments(function: Callable[..., Any]) -> set[str]:
    names = inspect.signature(function).parameters
    return {name for name in names if name not in ("self", "cls") and not name.startswith("_")}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_described(name: str) -> None:
    assert described_arguments(FUNCTIONS[name]) == arguments(FUNCTIONS[name])


@pytest.mark.parametrize(
    "name", [name for name, cls in CLASSES.items() if described_arguments(cls)]
)
def test_every_argument_of_a_constructor_is_described(name: str) -> None:
    assert described_arguments(CLASSES[name]) == arguments(CLASSES[name])


def test_there_are_classes_and_functions_to_look_at() -> None:
    assert {"Session", "ImageState", "RedisLimiter", "FakeE2E"} <= set(CLASSES)
    assert {"Images.save", "older_than", "Session.from_env", "Faults.on"} <= set(FUNCTIONS)
