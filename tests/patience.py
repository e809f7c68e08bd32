"""How long a test waits for what ends at once, on a machine that has other things to do."""

from __future__ import annotations

from typing import Final

#: Seconds. What ends at once ends within these on the busiest machine; what it is told apart from
#: takes 30 s or more, or never ends.
SOON: Final = 20.0
