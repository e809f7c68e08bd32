"""An emulator of the MyAccount image API, for tests and for trying things out without an account.

::

    async with FakeE2E(images=200, nodes=20, latency=0.02) as fake, fake.session() as session:
        ...

Names are looked up when they are asked for, so that pytest can load the plugin in this package
without loading a web server.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .account.rules import Rules
    from .account.seed import made_images, made_nodes
    from .account.store import Applied
    from .fake import FakeE2E
    from .faults.fault import Fault
    from .faults.kind import Answer, Effect, Kind
    from .faults.script import Faults
    from .faults.table import KINDS
    from .net.calls import DIALECTS, Call

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
    "DIALECTS": "net.calls",
    "KINDS": "faults.table",
    "Answer": "faults.kind",
    "Applied": "account.store",
    "Call": "net.calls",
    "Effect": "faults.kind",
    "FakeE2E": "fake",
    "Fault": "faults.fault",
    "Faults": "faults.script",
    "Kind": "faults.kind",
    "Rules": "account.rules",
    "made_images": "account.seed",
    "made_nodes": "account.seed",
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
