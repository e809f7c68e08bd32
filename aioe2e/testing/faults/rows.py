"""Makes the rows of faults that are whole HTTP replies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeAlias, TypedDict, Unpack, cast

import attrs

from aioe2e.testing.net import JSON_TYPE, WireReply

from .kind import ALWAYS, Answer, Effect, Kind, Scene

Rows: TypeAlias = dict[str, Kind]
_Effects: TypeAlias = tuple[Effect, ...]


class _More(TypedDict, total=False):
    """The fields of `Kind` that few rows set."""

    opt_in: bool
    lag: float
    value: type[int | str] | None


def made(
    summary: str, effects: _Effects, make: Callable[[Scene], WireReply], **more: Unpack[_More]
) -> Kind:
    """A reply that depends on the request."""

    async def play(scene: Scene) -> None:
        reply = make(scene)
        scene.wire.answered = reply.status
        scene.wire.send(reply.wire())

    return Kind(summary=summary, play=play, effects=effects, answers=Answer.REPLY, **more)


def fixed(summary: str, effects: _Effects, reply: WireReply) -> Kind:
    """The same reply for every request."""
    return made(summary, effects, lambda _: reply)


def changed(summary: str, effects: _Effects, change: Callable[[WireReply], WireReply]) -> Kind:
    """The right reply, changed."""
    return made(summary, effects, lambda scene: change(scene.reply))


def rewritten(summary: str, effects: _Effects, rewrite: Callable[[bytes], bytes]) -> Kind:
    """The right reply with other bytes in its JSON; an HTML page stays as it is."""
    return changed(summary, effects, lambda reply: in_json(reply, rewrite))


def in_json(reply: WireReply, rewrite: Callable[[bytes], bytes]) -> WireReply:
    """The same reply with other bytes in its body, if that is JSON."""
    return (
        attrs.evolve(reply, body=rewrite(reply.body)) if reply.content_type == JSON_TYPE else reply
    )


def respelled(summary: str, respell: Callable[[dict[str, Any]], Any]) -> Kind:
    """The right envelope in another spelling of the same meaning."""
    return rewritten(summary, ALWAYS, lambda body: json.dumps(respell(json.loads(body))).encode())


def elements(summary: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Kind:
    """The right envelope with every object of a listing changed; others stay as they are."""

    def deep(envelope: dict[str, Any]) -> dict[str, Any]:
        data: Any = envelope.get("data")
        if isinstance(data, list):
            data = [change(dict(item)) for item in cast("list[dict[str, Any]]", data)]
        return envelope | {"data": data}

    return respelled(summary, deep)
