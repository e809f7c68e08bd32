"""What it costs to import the library, beside importing what it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial

from ._measure import interleaved
from ._results import Row, Scale, ratio

_PROGRAM = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    parts = "aiohttp, attrs, cattrs, backoff"
    candidates = {"aioe2e": "aioe2e", "its four dependencies": parts}
    with tempfile.TemporaryDirectory() as cache:
        batches = {name: partial(_import, what, cache) for name, what in candidates.items()}
        rounds = await interleaved(batches, scale.slow_rounds)
    return [
        ratio("import", rounds, "aioe2e", "its four dependencies", unit="ms", scale=1000),
    ]


async def _import(what: str, cache: str) -> float:
    """CPU seconds of an import in a fresh interpreter.

    Args:
        what: What is imported.
        cache: Where compiled modules are kept. The first round fills it, so that an installed
            package and a checkout, and an environment that keeps no compiled modules at all, are
            measured alike.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _PROGRAM.format(what)]
    done = subprocess.run(  # noqa: ASYNC221  # nothing else runs
        command, check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout)
