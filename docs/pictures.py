"""Draws the pictures of the pages as SVG: ``python docs/pictures.py``.

The house is drawn from the layers in ``pyproject.toml``, so it shows what the linter holds. Colours
are chosen to be read on a light and on a dark page; the background stays the page's own.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"

BLUE, GREY, GREEN, AMBER, RED = "#2b6a8f", "#58616d", "#2c7a55", "#9a6410", "#a8432b"
#: Of lines and of text that stands on the page itself.
INK = "#7a838f"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


@attrs.frozen
class Box:
    """A box with one line of text, or two."""

    x: float
    y: float
    width: float
    text: str
    colour: str = BLUE
    below: str = ""
    height: float = 46

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def bottom(self) -> float:
        return self.y + self.height

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def level(self) -> float:
        return self.y + self.height / 2

    def svg(self) -> str:
        first = self.level + (-3 if self.below else 5)
        lines = [label(self.middle, first, self.text, colour="#fff", size=14, weight=600)]
        if self.below:
            lines.append(label(self.middle, self.level + 14, self.below, colour="#fff", size=11.5))
        shape = (
            f'<rect x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" '
            f'rx="7" fill="{self.colour}"/>'
        )
        return shape + "".join(lines)


def label(
    x: float,
    y: float,
    text: str,
    *,
    colour: str = INK,
    size: float = 12.5,
    weight: int = 400,
    anchor: str = "middle",
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" fill="{colour}" font-size="{size:g}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{escape(text)}</text>'
    )


def arrow(*points: tuple[float, float], dashed: bool = False) -> str:
    """A line through these points, with a head at its end."""
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<polyline points="{path}" fill="none" stroke="{INK}" stroke-width="1.8"{dash} '
        'marker-end="url(#head)"/>'
    )


def picture(width: float, height: float, title: str, parts: Sequence[str]) -> str:
    head = (
        '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto-start-reverse"><path d="M0 0 10 5 0 10z" fill="{INK}"/></marker>'
    )
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img" font-family="{FONT}">'
    )
    lines = [opening, f"<title>{escape(title)}</title>", f"<defs>{head}</defs>", *parts, "</svg>"]
    return "\n".join(lines) + "\n"


def call() -> str:
    """The life of a call: attempts, a check of the listing, the outcome.

    It is narrow, so that it can be read on a phone.
    """
    left, right, wide, narrow = 10, 268, 196, 172
    check = Box(left, 10, wide, "check arguments", GREY, "else UsageError")
    slot = Box(left, 88, wide, "wait for a slot", GREY, "limits, pauses, pace")
    send = Box(left, 166, wide, "send one request", BLUE, "at most Timeouts.attempt")
    judge = Box(left, 256, wide, "judge the reply", BLUE, "status and envelope")
    listing = Box(left, 392, wide, "check the listing", AMBER, "at most RetryPolicy.look")
    wait = Box(right, 88, narrow, "back off", GREY, "jitter, Retry-After")
    error = Box(right, 244, narrow, "error", RED, "it was not applied")
    done = Box(right, 316, narrow, "result", GREEN, "it was applied")
    unknown = Box(right, 392, narrow, "unknown", AMBER, "OutcomeUnknownError")
    boxes = (check, slot, send, judge, wait, listing, done, error, unknown)
    gap = (check.right + right) / 2
    parts = [box.svg() for box in boxes]
    parts += [
        arrow((check.middle, check.bottom), (slot.middle, slot.y)),
        arrow((slot.middle, slot.bottom), (send.middle, send.y)),
        arrow((send.middle, send.bottom), (judge.middle, judge.y)),
        arrow((judge.right, 267), (error.x, 267)),
        label(wait.middle, 236, "refused for good"),
        arrow((judge.right, 292), (gap, 292), (gap, done.level), (done.x, done.level)),
        label(done.middle, 309, "carried out"),
        arrow(
            (150, judge.y),
            (150, 236),
            (gap, 236),
            (gap, 190),
            (wait.middle, 190),
            (wait.middle, wait.bottom),
        ),
        label((gap + wait.middle) / 2, 183, "may be repeated"),
        arrow((wait.x, wait.level), (slot.right, wait.level)),
        arrow((judge.middle, judge.bottom), (judge.middle, listing.y)),
        label(judge.middle + 8, 333, "proves nothing", anchor="start"),
        arrow((listing.right, listing.level), (unknown.x, unknown.level)),
        label(gap, listing.level + 18, "no proof"),
        arrow((160, listing.y), (160, 352), (done.x, 352)),
        label(168, 370, "proof", anchor="start"),
    ]
    return picture(450, 450, "The life of a call", parts)


#: What each room is for, in a few words.
ROOMS: Mapping[str, str] = {
    "__main__": "python -m aioe2e",
    "cli": "the command line",
    "fleet": "one budget, many machines",
    "otel": "OpenTelemetry",
    "_demo": "python -m aioe2e demo",
    "testing": "the emulator",
    "session": "what users hold",
    "diagnosis": "check, field report",
    "images": "actions and proofs",
    "nodes": "read-only",
    "_call": "attempts, limits, retries",
    "_http": "one request, once",
    "bulk": "plans, runs, reports",
    "_wire": "bytes and meaning",
    "select": "which images",
    "config": "settings",
    "_actions": "the table of actions",
    "_record": "a call's record",
    "models": "what the server says",
    "_check": "arguments",
    "errors": "all errors",
    "events": "what hooks are told",
    "_plain": "values, JSON",
    "_text": "what may be shown",
    "_clock": "time",
    "_lazy": "loads on first use",
}
#: Rooms that users import from.
PUBLIC = {"cli", "fleet", "otel", "testing", "session", "images", "nodes", "bulk", "select"}
PUBLIC |= {"config", "models", "errors", "events"}


def layers() -> list[list[str]]:
    """The layers of the import contract, from the top."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    [found] = [contract for contract in contracts if contract["type"] == "layers"]
    return [[name.strip(" ()") for name in layer.split("|")] for layer in found["layers"]]


def house() -> str:
    """The rooms, floor by floor: every import leads downward."""
    width, gap, left, high = 172.0, 8.0, 20.0, 40.0
    floors = layers()
    across = max(len(floor) for floor in floors)
    whole = across * width + (across - 1) * gap
    parts = []
    for number, floor in enumerate(floors):
        taken = len(floor) * width + (len(floor) - 1) * gap
        start = left + (whole - taken) / 2
        y = 16 + number * (high + gap)
        for place, room in enumerate(floor):
            colour = BLUE if room in PUBLIC else GREY
            x = start + place * (width + gap)
            parts.append(Box(x, y, width, room, colour, ROOMS.get(room, ""), high).svg())
    bottom = 16 + len(floors) * (high + gap)
    side = left + whole + 24
    parts.append(arrow((side, 22), (side, bottom - gap - 6)))
    parts.append(
        f'<text x="{side + 16:g}" y="{bottom / 2:g}" fill="{INK}" font-size="12.5" '
        f'text-anchor="middle" transform="rotate(90 {side + 16:g} {bottom / 2:g})">'
        "imports lead downward</text>"
    )
    return picture(side + 36, bottom + 4, "The house: the rooms of the code", parts)


PICTURES: Mapping[str, Callable[[], str]] = {"call": call, "house": house}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        (FOLDER / f"{name}.svg").write_text(draw(), encoding="utf-8")
