"""Faults below HTTP: connections that end or stall, and bytes that no server should send."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import attrs

from aioe2e.testing.net import Wire, WireReply, as_json, reset, success

from .bomb import packed_behind_spaces
from .kind import ALWAYS, ANY, NEVER, Answer, Effect, Kind, Play, Scene

#: A success that no request asked for.
_STRAY = success({"status": True, "message": "Image name changed successfully"}).wire()
_MIB = 1024 * 1024


def _now(act: Callable[[Scene], None]) -> Play:
    """A fault that takes no time."""

    async def play(scene: Scene) -> None:
        act(scene)

    return play


def _part(of: Callable[[WireReply], bytes], end: Callable[[Wire], None]) -> Play:
    """A part of the reply, then the end of the connection."""

    async def play(scene: Scene) -> None:
        scene.wire.send(of(scene.reply))
        await scene.wire.pause(0.005)
        end(scene.wire)

    return play


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


async def _refuse(scene: Scene) -> None:
    await scene.wire.refuse(scene.lasting(0.1))
    scene.wire.reset()


async def _reset_next(scene: Scene) -> None:
    scene.wire.reset_next(scene.size(2))
    scene.wire.reset()


async def _hang(scene: Scene) -> None:
    await scene.wire.pause(scene.lasting(3600))
    scene.wire.close()


async def _hang_after_head(scene: Scene) -> None:
    scene.wire.send(scene.reply.head() + _half(scene.reply.body))
    await _hang(scene)


async def _too_long(scene: Scene) -> None:
    scene.wire.send(scene.reply.head(length=str(len(scene.reply.body) + 1000)) + scene.reply.body)
    await scene.wire.pause(scene.lasting(0.05))
    scene.wire.close()


async def _too_short(scene: Scene) -> None:
    scene.wire.send(scene.reply.head(length=str(len(scene.reply.body) // 2)) + scene.reply.body)
    await scene.wire.pause(0.02)
    scene.wire.close()


async def _drip(scene: Scene) -> None:
    data = scene.reply.wire()
    pieces = min(len(data), 20)
    size = -(-len(data) // pieces)
    for start in range(0, len(data), size):
        await scene.wire.pause(scene.lasting(0.2) / pieces)
        scene.wire.send(data[start : start + size])


async def _drip_forever(scene: Scene) -> None:
    scene.wire.send(scene.reply.head(length=str(10**9)))
    for _ in range(int(scene.lasting(3600) / 0.02)):
        if scene.wire.gone:
            break
        scene.wire.send(b" ")
        await scene.wire.pause(0.02)
    scene.wire.close()


async def _slow_head(scene: Scene) -> None:
    head = scene.reply.head()
    scene.wire.send(head[:12])
    await scene.wire.pause(scene.lasting(0.2))
    scene.wire.send(head[12:] + scene.reply.body)


async def _slow(scene: Scene) -> None:
    await scene.wire.pause(scene.lasting(0.2))
    scene.wire.send(scene.reply.wire())


async def _endless(scene: Scene) -> None:
    scene.wire.send(scene.reply.with_headers(("Transfer-Encoding", "chunked")).head(framing=False))
    await _pour(scene.wire, b"10000\r\n%b\r\n" % (b" " * 65536), scene.size(1024 * _MIB))
    scene.wire.close()


async def _huge(scene: Scene) -> None:
    size = scene.size(64 * _MIB)
    scene.wire.send(scene.reply.head(length=str(size + len(scene.reply.body))))
    await _pour(scene.wire, b" " * 65536, size // 65536 * 65536)
    scene.wire.send(b" " * (size % 65536) + scene.reply.body)


async def _pour(wire: Wire, piece: bytes, size: int) -> None:
    for _ in range(size // 65536):
        if wire.gone:
            return
        wire.send(piece)
        await wire.drain()


def _bombed(coding: str) -> Play:
    async def play(scene: Scene) -> None:
        body = await packed_behind_spaces(coding, scene.size(256 * _MIB), scene.reply.body)
        bomb = attrs.evolve(scene.reply, body=body).with_headers(("Content-Encoding", coding))
        scene.wire.send(bomb.wire())

    return play


def _after(*, wait: float, act: Callable[[Wire], None]) -> Play:
    """The right reply, then something on the connection, which the client takes to be idle."""

    async def play(scene: Scene) -> None:
        scene.wire.send(scene.reply.wire())
        scene.wire.later(scene.lasting(wait), lambda: act(scene.wire))

    return play


def _chunked(reply: WireReply, body: bytes) -> bytes:
    return reply.with_headers(("Transfer-Encoding", "chunked")).head(framing=False) + body


def _bad_size(reply: WireReply) -> bytes:
    return _chunked(reply, b"xyz\r\n" + reply.body + b"\r\n0\r\n\r\n")


def _cut_chunk(reply: WireReply) -> bytes:
    return _chunked(reply, b"%x\r\n" % len(reply.body) + _half(reply.body))


def _no_last_chunk(reply: WireReply) -> bytes:
    return _chunked(reply, b"%x\r\n%b\r\n" % (len(reply.body), reply.body))


def _two_lengths(reply: WireReply) -> bytes:
    return reply.with_headers(("Content-Length", str(len(reply.body) + 7))).wire()


def _many_headers(reply: WireReply) -> bytes:
    return reply.with_headers(*((f"X-Filler-{n}", "x") for n in range(20_000))).wire()


def _ends_on_next(end: Callable[[asyncio.Transport], None]) -> Play:
    """The right reply on a connection that ends when its next request arrives."""

    async def play(scene: Scene) -> None:
        scene.wire.send(scene.reply.wire())
        scene.wire.end_on_next(end)

    return play


def _interim(status: str) -> Play:
    return _now(
        lambda scene: scene.wire.send(f"HTTP/1.1 {status}\r\n\r\n".encode() + scene.reply.wire())
    )


def _lost(play: Play, summary: str, effects: tuple[Effect, ...] = ANY) -> Kind:
    return Kind(summary=summary, play=play, effects=effects, answers=Answer.NOTHING)


def _broken(
    play: Play, summary: str, effects: tuple[Effect, ...] = ANY, *, opt_in: bool = False
) -> Kind:
    return Kind(summary=summary, play=play, effects=effects, answers=Answer.BROKEN, opt_in=opt_in)


def _odd(play: Play, summary: str, *, opt_in: bool = False) -> Kind:
    return Kind(summary=summary, play=play, effects=ALWAYS, answers=Answer.REPLY, opt_in=opt_in)


def _counting(kind: Kind) -> Kind:
    """A kind whose `value` is a whole number."""
    return attrs.evolve(kind, value=int)


_BOMB = "`value` (256 MiB) bytes of white space before the JSON, compressed a thousandfold"

#: Faults of the connection, by name.
WIRE_KINDS: Mapping[str, Kind] = {
    "refuse": _lost(
        _refuse, "resets the connection, and refuses new ones for `seconds` (0.1)", NEVER
    ),
    "slam": _counting(
        _lost(
            _reset_next,
            "resets the connection, and the next `value` (2) ones as soon as they are made",
            NEVER,
        )
    ),
    "close-unread": _lost(
        _now(lambda scene: scene.wire.reset()),
        "resets the connection before anything is done",
        NEVER,
    ),
    "close": _lost(_now(lambda scene: scene.wire.close()), "closes the connection without a reply"),
    "reset": _lost(_now(lambda scene: scene.wire.reset()), "resets the connection without a reply"),
    "hang": attrs.evolve(
        _lost(_hang, "sends nothing for `seconds` (3600), then closes the connection"), opt_in=True
    ),
    "hang-in-body": _broken(
        _hang_after_head, "stops in the middle of the body for `seconds` (3600)", opt_in=True
    ),
    "partial-status": _broken(
        _part(lambda reply: reply.head()[:9], Wire.close),
        "closes the connection within the status line",
    ),
    "partial-head": _broken(
        _part(lambda reply: _half(reply.head()), Wire.close),
        "closes the connection within the headers",
    ),
    "partial-body": _broken(
        _part(lambda r: r.head() + _half(r.body), Wire.close),
        "closes the connection within the body",
    ),
    "reset-in-head": _broken(
        _part(lambda reply: _half(reply.head()), Wire.reset),
        "resets the connection within the headers",
    ),
    "reset-in-body": _broken(
        _part(lambda r: r.head() + _half(r.body), Wire.reset),
        "resets the connection within the body",
    ),
    "head-only": _broken(
        _part(lambda reply: reply.head(), Wire.close),
        "closes the connection between headers and body",
    ),
    "length-too-large": _broken(_too_long, "a Content-Length that is larger than the body", ALWAYS),
    "length-too-small": _broken(_too_short, "a Content-Length of half the body"),
    "length-twice": _broken(
        _part(_two_lengths, Wire.close), "two different Content-Length headers", ALWAYS
    ),
    "length-text": _broken(
        _part(lambda r: r.head(length="many") + r.body, Wire.close),
        "a Content-Length that is not a number",
        ALWAYS,
    ),
    "chunk-size": _broken(
        _part(_bad_size, Wire.close), "a chunk size that is not a number", ALWAYS
    ),
    "chunk-cut": _broken(_part(_cut_chunk, Wire.close), "closes the connection within a chunk"),
    "chunk-last-missing": _broken(
        _part(_no_last_chunk, Wire.close), "closes the connection before the last chunk", ALWAYS
    ),
    "garbage": _broken(
        _part(lambda _: b"\x00\xff\x16\x03garbage\r\n\r\n", Wire.close), "bytes that are not HTTP"
    ),
    "garbage-tls": _broken(
        _part(lambda _: b"\x15\x03\x03\x00\x02\x02\x28", Wire.close), "a TLS alert"
    ),
    "garbage-header": _broken(
        _part(lambda r: r.head()[:-2] + b"no colon\x00here\r\n\r\n" + r.body, Wire.close),
        "a malformed header",
        ALWAYS,
    ),
    "headers-many": _odd(_part(_many_headers, Wire.close), "20,000 headers", opt_in=True),
    "header-long": _odd(
        _part(lambda r: r.with_headers(("X-Long", "x" * _MIB)).wire(), Wire.close),
        "a header of 1 MiB",
        opt_in=True,
    ),
    "body-endless": _counting(
        _broken(_endless, "an endless body (up to `value` bytes, 1 GiB)", opt_in=True)
    ),
    "drip-forever": _broken(_drip_forever, "a byte every 0.02 s for `seconds` (3600)", opt_in=True),
    "drip": _odd(_drip, "the right reply in twenty pieces over `seconds` (0.2)"),
    "slow": _odd(_slow, "the right reply after `seconds` (0.2)"),
    "slow-head": _odd(_slow_head, "a pause of `seconds` (0.2) within the status line"),
    "body-huge": _counting(
        _odd(_huge, "`value` (64 MiB) bytes of white space before the JSON", opt_in=True)
    ),
    "gzip-bomb": _counting(_odd(_bombed("gzip"), _BOMB, opt_in=True)),
    "deflate-bomb": _counting(_odd(_bombed("deflate"), _BOMB, opt_in=True)),
    "close-idle": _odd(
        _after(wait=0.001, act=Wire.close), "closes the idle connection right after the reply"
    ),
    "reset-idle": _odd(
        _after(wait=0.001, act=Wire.reset), "resets the idle connection right after the reply"
    ),
    "close-on-next": _odd(
        _ends_on_next(lambda transport: transport.close()),
        "closes the idle connection when the next request arrives",
    ),
    "reset-on-next": _odd(
        _ends_on_next(reset), "resets the idle connection when the next request arrives"
    ),
    "stray-at-once": _odd(
        _now(lambda scene: scene.wire.send(scene.reply.wire() + _STRAY)),
        "the right reply and, at once, another that no request asked for",
    ),
    "stray-later": _odd(
        _after(wait=0.01, act=lambda wire: wire.send(_STRAY)),
        "a reply that no request asked for, on the idle connection",
    ),
    "stray-timeout": _odd(
        _after(
            wait=0.01,
            act=lambda wire: wire.send(as_json(408, {"detail": "Request Time-out"}).wire()),
        ),
        "a 408 on the idle connection",
    ),
    "stray-garbage": _odd(
        _after(wait=0.01, act=lambda wire: wire.send(b"\x00garbage\r\n\r\n")),
        "garbage on the idle connection",
    ),
    "http-1.0": _odd(
        _part(lambda r: r.head(version="1.0", framing=False) + r.body, Wire.close),
        "an HTTP/1.0 reply, ended by closing the connection",
    ),
    "interim-100": _odd(_interim("100 Continue"), "an interim 100 before the reply"),
    "interim-102": _odd(_interim("102 Processing"), "an interim 102 before the reply"),
    "interim-103": _odd(
        _interim("103 Early Hints\r\nLink: </style.css>"), "an interim 103 before the reply"
    ),
    "connection-close": _odd(
        _part(lambda r: r.with_headers(("Connection", "close")).wire(), Wire.close),
        "the right reply with `Connection: close`",
    ),
}
