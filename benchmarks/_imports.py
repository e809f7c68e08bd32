"""What it costs to import the library, compared with importing what it is made of.

What is not needed at once loads when it is first used. So that this row cannot be made better by
loading everything later, the others measure what a program pays in the end: an import with a
session and its image actions, an import with a plan, and an import of all public names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from typing import Final

from ._measure import interleaved
from ._results import Row, Scale, ratio

_PROGRAM = "import time; start = time.process_time(); {}; print(time.process_time() - start)"

_PARTS = "its four dependencies"
_SESSION = (
    "import aioe2e; aioe2e.Session("
    "aioe2e.Credentials(api_key='k3y-of-the-user', auth_token='t0ken-of-the-user')).images"
)
#: What is measured, by its name in the rows.
_PROGRAMS: Final[Mapping[str, str]] = {
    _PARTS: "import aiohttp, attrs, cattrs, backoff",
    "aioe2e": "import aioe2e",
    "aioe2e and a Session": _SESSION,
    "aioe2e and a Plan": "import aioe2e; aioe2e.Plan.delete(['1'])",
    "all public names of aioe2e": "from aioe2e import *",
}


async def rows(scale: Scale) -> list[Row]:
    """The rows of this module."""
    with tempfile.TemporaryDirectory() as cache:
        batches = {name: partial(_run, program, cache) for name, program in _PROGRAMS.items()}
        rounds = await interleaved(batches, scale.slow_rounds)
    return [
        ratio("import", rounds, name, _PARTS, unit="ms", scale=1000)
        for name in _PROGRAMS
        if name != _PARTS
    ]


async def _run(program: str, cache: str) -> float:
    """CPU seconds of a program in a fresh interpreter.

    Args:
        program: What it does.
        cache: Where compiled modules are kept. The first round fills it, so that an installed
            package and a checkout, and an environment that keeps no compiled modules at all, are
            measured alike.
    """
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-c", _PROGRAM.format(program)]
    done = subprocess.run(  # noqa: ASYNC221  # nothing else runs
        command, check=True, capture_output=True, text=True, env=environment
    )
    return float(done.stdout)
