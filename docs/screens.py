"""Makes the pictures of docs/cli.md: ``python docs/screens.py`` (``python -m nox -s screens``).

Each is what a command really prints on a terminal, against the emulator, drawn by rich.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from aioe2e.cli import main
from aioe2e.testing import FakeE2E, made_images

FOLDER = Path(__file__).parent / "screens"
WIDTH = 80
#: Fonts that would be fetched from elsewhere.
FONTS = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
#: What takes another time on every machine.
TIMES = re.compile(r"in \d+\.\d s")
#: The number of steps behind a bar, and the whole bar as it stands in one line.
COUNT = re.compile(r"(\d+)/(\d+)")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def typed(fake: FakeE2E, command: str, answer: str = "") -> str:
    """What a terminal shows when a command is typed, and a question answered."""
    screen = Terminal()
    words = [word.strip("'") for word in command.split()]
    with tempfile.TemporaryDirectory() as state:
        main(
            [*words, "--base-url", fake.url],
            stdin=Terminal(answer),
            stdout=screen,
            stderr=screen,
            environ={"TERM": "xterm", "XDG_STATE_HOME": state},
        )
    return TIMES.sub("in 2.4 s", screen.getvalue())


def listing(fake: FakeE2E) -> str:
    """A listing."""
    return typed(fake, "images list --match 'web-*' --sort name")


def plan(fake: FakeE2E) -> str:
    """A plan, and its question."""
    shown = typed(fake, "images delete --match 'web-0[12]-*' --older-than 1d", "n\n")
    return shown[: shown.index("[y/N]") + len("[y/N] ")]


def failed(fake: FakeE2E) -> str:
    """A report of a run in which some steps failed."""
    for target in list(fake.images)[:30:10]:
        fake.inject("412-json", "delete", target=target)
    return without_bar(typed(fake, "images delete --match 'web-*' --limit 4 --yes"))


def bar(fake: FakeE2E) -> str:
    """A bar, when about half of the steps have ended."""
    shown = typed(fake, "images rename --match '*' --to 'old-{name}' --limit 4 --yes")
    frames = [frame for frame in re.split(r"\r", shown) if COUNT.search(frame)]

    def distance(frame: str) -> float:
        count = COUNT.search(frame)
        assert count is not None
        return abs(int(count[1]) / int(count[2]) - 0.55)

    return min(frames, key=distance)


def without_bar(shown: str) -> str:
    """What stays on the screen once the bar is gone."""
    lines = [line for line in re.split(r"\r|\n", shown) if line and "━" not in line]
    return "\n".join(line for line in lines if Text.from_ansi(line).plain.strip())


SCREENS: dict[str, tuple[str, Callable[[FakeE2E], str]]] = {
    "list": ("aioe2e images list --match 'web-*' --sort name", listing),
    "plan": ("aioe2e images delete --match 'web-0[12]-*' --older-than 1d", plan),
    "bar": ("aioe2e images rename --match '*' --to 'old-{name}' --limit 4 --yes", bar),
    "failed": ("aioe2e images delete --match 'web-*' --limit 4 --yes", failed),
}


def drawn(name: str, command: str, shown: str) -> str:
    """A screen as SVG."""
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, legacy_windows=False
    )
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(shown), end="")
    return FONTS.sub("", console.export_svg(title="aioe2e", unique_id=name))


def screens() -> Iterator[tuple[str, str]]:
    """The name and the SVG of each picture."""
    os.environ["COLUMNS"] = str(WIDTH)
    for name, (command, show) in SCREENS.items():
        images = made_images(120)
        with FakeE2E(images, nodes=5, latency=0.03) as fake:
            os.environ["E2E_API_KEY"] = fake.credentials.api_key
            os.environ["E2E_AUTH_TOKEN"] = str(fake.credentials.auth_token)
            os.environ["E2E_PROJECT_ID"] = str(fake.project_id)
            os.environ["E2E_LOCATION"] = fake.location
            yield name, drawn(name, command, show(fake))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, picture in screens():
        (FOLDER / f"{name}.svg").write_text(picture, encoding="utf-8")
