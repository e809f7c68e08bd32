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
    from .account import Applied, Rules, made_images, made_nodes
    from .fake import FakeE2E
    from .faults import KINDS, Answer, Effect, Fault, Faults, Kind
    from .net import DIALECTS, RecordedRequest
    from .net import RecordedRequest as Call

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
    "RecordedRequest",
    "Rules",
    "made_images",
    "made_nodes",
]

#: Where each name comes from: the room, and the name there.
_HOMES = {
    "DIALECTS": "net",
    "KINDS": "faults",
    "Answer": "faults",
    "Applied": "account",
    "Call": "net:RecordedRequest",  # its name until now
    "Effect": "faults",
    "FakeE2E": "fake",
    "Fault": "faults",
    "Faults": "faults",
    "Kind": "faults",
    "RecordedRequest": "net",
    "Rules": "account",
    "made_images": "account",
    "made_nodes": "account",
}


def __getattr__(name: str) -> Any:
    if (home := _HOMES.get(name)) is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room, _, there = home.partition(":")
    value = getattr(importlib.import_module(f".{room}", __name__), there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
