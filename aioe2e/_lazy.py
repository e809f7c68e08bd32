"""Doors that load what is behind them when it is first used (PEP 562).

Most programs use a part of the library, and all of them import it. So a door that has a table here
hands out its names without having loaded them: the first use of a name loads its module. Type
checkers do not see the table. They read imports under ``if TYPE_CHECKING``, and a test holds the
two equal.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence


def lazy_door(
    package: str, homes: Mapping[str, Sequence[str]]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The ``__getattr__`` and the ``__dir__`` of a package.

    Args:
        package: Its ``__name__``.
        homes: By the name of a module in the package, the names that stand in it. The module itself
            can be had by its name as well.
    """
    home_of = {name: home for home, names in homes.items() for name in names}
    namespace = sys.modules[package].__dict__

    def get(name: str) -> object:
        if name in homes:
            return importlib.import_module(f".{name}", package)
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f".{home_of[name]}", package), name)
        namespace[name] = value  # from now on it is found without this function
        return value

    def names() -> list[str]:
        return sorted({*namespace, *homes, *home_of})

    return get, names


def is_command_line() -> bool:
    """Whether the program that starts is ``aioe2e``, or ``python -m aioe2e``.

    A wrong guess changes no more than the moment at which modules are loaded.
    """
    program = str(next(iter(sys.argv), ""))  # a Path, if `runpy.run_path` was given one
    if program == "-m":  # what Python puts there while it looks for the module to run
        return "aioe2e" in sys.orig_argv
    name = program.replace("\\", "/").rpartition("/")[2]
    return name in ("aioe2e", "aioe2e.exe")
