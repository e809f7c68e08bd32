"""A server that is never the bottleneck: one fixed reply a route, written straight to the socket.

It runs in a process of its own (see `benchmarks._process`), so that the client's CPU time is the
client's alone. It knows just enough HTTP for clients that send one request after the other on a
connection.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Callable
from typing import Final

LISTING: Final = b"/images/saved-images/"

_HEAD: Final = (
    "HTTP/1.1 200 OK\r\n"
    "Server: nginx\r\n"
    "Date: Tue, 31 Mar 2026 10:00:00 GMT\r\n"
    "Content-Type: application/json\r\n"
    "Content-Length: {}\r\n"
    "Connection: keep-alive\r\n"
    "Vary: Accept\r\n"
    "Allow: GET, POST, PUT, DELETE, HEAD, OPTIONS\r\n"
    "X-Frame-Options: DENY\r\n"
    "X-Content-Type-Options: nosniff\r\n"
    "\r\n"
)


def _reply(content: object) -> bytes:
    body = json.dumps(content).encode()
    return _HEAD.format(len(body)).encode() + body


def _day(number: int) -> str:
    return f"{1 + number % 28:02d}-{1 + number % 12:02d}-2025"


def image(number: int) -> dict[str, object]:
    """One element of a listing, with the fields and the types that were seen on the wire."""
    name = f"web-{number:05d}"
    return {
        "image_id": str(20_000 + number),
        "template_id": 28_000 + number,
        "name": name,
        "os_distribution": f"DEL-{name}",
        "distro": "CentOS-7.5",
        "image_state": "Ready",
        "image_type": "E2E Image",
        "image_size": f"{20 + number % 80} GB",
        "sku_type": "C3VPS",
        "creation_time": f"{_day(number)} {number % 24:02d}:{number % 60:02d}:58",
        "running_vms": "0",
        "cloning_ops": "0",
        "scaler_group_count": 0,
        "vm_info": [],
        "is_windows": False,
        "node_plans_available": True,
        "project_name": "default-project",
    }


def envelope(data: object) -> dict[str, object]:
    return {"code": 200, "data": data, "errors": {}, "message": "Success"}


class Connection(asyncio.Protocol):
    """One connection: a reply for each whole request, after the latency."""

    def __init__(self, answer: Callable[[bytes], bytes], latency: float) -> None:
        self._answer = answer
        self._latency = latency
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            whole = end + 4 + _content_length(head)
            if len(self._received) < whole:
                return
            self._received = self._received[whole:]
            reply = self._answer(head)
            if self._latency:
                asyncio.get_running_loop().call_later(self._latency, self._send, reply)
            else:
                self._send(reply)

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


def _content_length(head: bytes) -> int:
    start = head.lower().find(b"\r\ncontent-length:")
    return 0 if start < 0 else int(head[start + 17 :].split(b"\r\n", 1)[0])


async def serve(latency: float, images: int) -> None:
    """Serve on a free loopback port, which is printed, until the process is ended."""
    done = _reply(envelope({"status": True, "message": "Image name changed successfully"}))
    listing = _reply(envelope([image(number) for number in range(images)]))

    def answer(head: bytes) -> bytes:
        return listing if LISTING in head[:200] else done

    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(answer, latency), "127.0.0.1", 0, backlog=1024
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Fixed replies of the saved-image API, for benchmarks."
    )
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each reply")
    parser.add_argument("--images", type=int, default=0, help="elements of the listing")
    options = parser.parse_args()
    asyncio.run(serve(options.latency, options.images))
