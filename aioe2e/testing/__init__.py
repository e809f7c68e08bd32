"""An emulator of the MyAccount image API, for tests and to try things without an account.

::

    async with FakeE2E(images=200, nodes=20, latency=0.02) as fake, fake.session() as session:
        ...
"""

from typing import TYPE_CHECKING

from aioe2e._lazy import lazy_door

if TYPE_CHECKING:
    from .account import Applied, Rules, made_images, made_nodes
    from .fake import FakeE2E
    from .faults import KINDS, Answer, Effect, Fault, Faults, Kind
    from .net import DIALECTS, Call, RecordedRequest

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_door(
        __name__,
        {
            "account": ["Applied", "Rules", "made_images", "made_nodes"],
            "fake": ["FakeE2E"],
            "faults": ["KINDS", "Answer", "Effect", "Fault", "Faults", "Kind"],
            "net": ["DIALECTS", "Call", "RecordedRequest"],
        },
    )
