"""The page on the command line: what it says can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from aioe2e.cli.command_line import PARSER

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(?:sh|text)\n(.*?)```", PAGE, re.DOTALL)
TYPED = [
    part[part.index("aioe2e") :].partition(" >")[0].strip()
    for block in BLOCKS
    for line in block.splitlines()
    for part in line.split(" | ")
    if re.search(r"(?:^|\s)aioe2e ", part)
]


def test_there_are_examples() -> None:
    assert len(TYPED) > 15


@pytest.mark.parametrize("line", TYPED)
def test_an_example_can_be_parsed(line: str) -> None:
    words = [word for word in shlex.split(line)[1:] if word != "--emulator"]
    assert not isinstance(PARSER.parse(words), str)


@pytest.mark.parametrize("name", re.findall(r"\]\((screens/\w+\.svg)\)", PAGE))
def test_a_picture_shows_a_command_and_fetches_nothing(name: str) -> None:
    picture = (Path(__file__).parents[2] / "docs" / name).read_text(encoding="utf-8")
    assert "aioe2e&#160;images" in picture
    assert "url(http" not in picture
