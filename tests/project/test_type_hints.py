"""Type hints of public callables can be read at run time, as frameworks that inject arguments do."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import aioe2e


def public_callables() -> Iterator[tuple[str, Any]]:
    for name in aioe2e.__all__:
        value = getattr(aioe2e, name)
        if inspect.isclass(value):
            yield name, value
            for key, member in vars(value).items():
                function = member.fget if isinstance(member, property) else getattr(value, key)
                public = key == "__init__" or not key.startswith("_")
                if public and (inspect.isfunction(function) or inspect.ismethod(function)):
                    yield f"{name}.{key}", function


@pytest.mark.parametrize(
    "function",
    [pytest.param(value, id=name) for name, value in public_callables()],
)
def test_type_hints_can_be_read(function: Any) -> None:
    assert isinstance(typing.get_type_hints(function), dict)
