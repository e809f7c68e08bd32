"""An emulator of the MyAccount image API, for tests and for trying things out without an account.

::

    async with FakeE2E(images=200, nodes=20, latency=0.02) as fake, fake.session() as session:
        ...

Names are looked up when they are asked for, so that pytest can load the plugin in this package without loading a
web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._calls import DIALECTS, Call
    from ._fault import Fault
    from ._fault_kind import Answer, Effect, Kind
    from ._fault_table import KINDS
    from ._faults import Faults
    from ._rules import Rules
    from ._seed import made_images, made_nodes
    from ._server import FakeE2E
    from ._store import Applied

__all__ = [
    "DIALECTS",
    "KINDS",
    "Answer",
    "Applied",
    "Call",
    "Effect",
    "FakeE2E",
    "Fault",
    "Faults",
    "Kind",
    "Rules",
    "made_images",
    "made_nodes",
]

_HOMES = {
    "DIALECTS": "_calls",
    "KINDS": "_fault_table",
    "Answer": "_fault_kind",
    "Applied": "_store",
    "Call": "_calls",
    "Effect": "_fault_kind",
    "FakeE2E": "_server",
    "Fault": "_fault",
    "Faults": "_faults",
    "Kind": "_fault_kind",
    "Rules": "_rules",
    "made_images": "_seed",
    "made_nodes": "_seed",
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
