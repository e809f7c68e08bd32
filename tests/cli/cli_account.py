"""Runs the command line against an emulated account, in this process."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest

from aioe2e.cli import main
from aioe2e.testing import FakeE2E


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@attrs.frozen
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def items(self) -> list[Any]:
        items: list[Any] = self.json["items"]
        return items


@attrs.frozen
class Account:
    """An emulated account, and the command line on it."""

    fake: FakeE2E
    state: Path

    @property
    def journals(self) -> list[Path]:
        return sorted(self.state.glob("aioe2e/*.journal"))

    @property
    def writes(self) -> int:
        return len(self.fake.ledger)

    def run(
        self,
        *words: str,
        stdin: str = "",
        answer: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Ran:
        """Run a command.

        Args:
            words: The command line.
            stdin: What stands in a pipe before it.
            answer: What is typed on a terminal; None for no terminal.
            environ: More environment.
        """
        streams = io.StringIO if answer is None else Terminal
        given = io.StringIO(stdin) if answer is None else Terminal(answer)
        out, err = streams(), streams()
        code = main(
            [*words, "--base-url", self.fake.url],
            stdin=given,
            stdout=out,
            stderr=err,
            environ={"XDG_STATE_HOME": str(self.state), "TERM": "xterm", **(environ or {})},
        )
        return Ran(code, out.getvalue(), err.getvalue())


def opened(
    monkeypatch: pytest.MonkeyPatch, state: Path, fake: FakeE2E | None = None
) -> Iterator[Account]:
    """An account whose credentials stand in the environment, for a fixture."""
    with fake or FakeE2E(images=40, nodes=5, save_seconds=0.02) as running:
        monkeypatch.setenv("E2E_API_KEY", running.credentials.api_key)
        monkeypatch.setenv("E2E_AUTH_TOKEN", str(running.credentials.auth_token))
        monkeypatch.setenv("E2E_PROJECT_ID", str(running.project_id))
        monkeypatch.setenv("E2E_LOCATION", running.location)
        for name in ("E2E_PROFILE", "E2E_MYACCOUNT_BASE_URL", "NO_COLOR", "FORCE_COLOR"):
            monkeypatch.delenv(name, raising=False)
        yield Account(running, state)
