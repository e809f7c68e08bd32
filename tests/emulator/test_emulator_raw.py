"""Raw bytes of all kinds: each gets a whole answer or none, changes nothing by mistake, and leaves the server well."""

from __future__ import annotations

import json

import attrs
import pytest
from emulator_client import LIST, ask, exchange, parse
from patience import SOON

from aioe2e.testing import FakeE2E

KEY, TOKEN = "raw-key", "raw-token"
QUERY = f"apikey={KEY}"
WHO = f"Host: x\r\nAuthorization: Bearer {TOKEN}\r\n"
LISTING = f"/myaccount/api/v1/images/saved-images/?{QUERY}"
NODES = f"/myaccount/api/v1/nodes/?{QUERY}"
IMAGE = f"/myaccount/api/v1/images/7/?{QUERY}"
RENAME = '{"action_type": "rename", "name": "golden"}'


@attrs.frozen
class Raw:
    """Bytes, and what comes of them: the status (None: no answer), and whether the image is renamed."""

    data: bytes
    status: int | tuple[int, ...] | None
    renamed: bool = False


def get(target: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    more = "".join(f"{header}\r\n" for header in headers)
    return f"{method} {target} HTTP/{version}\r\n{WHO}{more}\r\n".encode()


def post(body: bytes, *headers: str, length: str | None = None) -> bytes:
    length = str(len(body)) if length is None else length
    return get(IMAGE, f"Content-Length: {length}", *headers, method="POST") + body


def chunked(*chunks: str, tail: str = "0\r\n\r\n") -> bytes:
    body = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks) + tail
    return get(IMAGE, "Transfer-Encoding: chunked", method="POST") + body.encode()


BODY = RENAME.encode()
#: What one release of aiohttp refuses and another does not.
ANY = (200, 400)
CASES = {
    "nothing": Raw(b"", None),
    "an empty line": Raw(b"\r\n\r\n", None),
    "zeros": Raw(b"\0" * 100, 400),
    "TLS": Raw(bytes.fromhex("16030100a5010000a10303") + b"\0" * 160, 400),
    "SSH": Raw(b"SSH-2.0-OpenSSH_9\r\n", 400),
    "HTTP/2": Raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/3.0": Raw(get(LISTING, version="3.0"), ANY),
    "HTTP/1.0": Raw(get(LISTING, version="1.0"), 200),
    "a method in small letters": Raw(get(LISTING, method="get"), 400),
    "a method that there is not": Raw(get(LISTING, method="BREW"), (400, 405)),
    "TRACE": Raw(get(LISTING, method="TRACE"), 405),
    "CONNECT": Raw(get("x:443", method="CONNECT"), 401),
    "no carriage returns": Raw(get(LISTING).replace(b"\r", b""), 400),
    "tabs for spaces": Raw(get(LISTING).replace(b" /", b"\t/", 1), 400),
    "no Host": Raw(get(LISTING).replace(b"Host: x\r\n", b""), ANY),
    "two Hosts": Raw(get(LISTING, "Host: y"), ANY),
    "a long URL": Raw(get(f"{LISTING}&x={'a' * 20_000}"), 400),
    "a long header": Raw(get(LISTING, f"X: {'a' * 20_000}"), 400),
    "many headers": Raw(get(LISTING, *(f"X{number}: 1" for number in range(2000))), ANY),
    "a folded header": Raw(get(LISTING, "X: a\r\n b"), ANY),
    "a header in Latin-1": Raw(get(LISTING, "X: a").replace(b"X: a", b"X: \xe9"), 200),
    "a token of other bytes": Raw(get(LISTING).replace(TOKEN.encode(), b"\xff"), 401),
    "a path that is no ASCII": Raw(get("/myaccount/api/v1/images/é/"), 400),
    "a bad escape": Raw(get(f"/myaccount/api/v1/images/%zz/?{QUERY}"), 404),
    "an escaped zero": Raw(get(f"/myaccount/api/v1/images/%00/?{QUERY}"), 404),
    "dots in the path": Raw(get(f"/myaccount/api/v1/../v1/images/saved-images/?{QUERY}"), 404),
    "a fragment": Raw(get(f"{LISTING}#end"), 200),
    "a URL that is none": Raw(get("http://[::1/%zz"), 400),
    "a URL without a path": Raw(get(f"http://x?{QUERY}"), 404),
    "an odd query": Raw(get(f"{LISTING}&%ff=%zz&&&=&a"), 200),
    "two keys, the last wrong": Raw(get(f"{LISTING}&apikey=wrong"), 403),
    "a page of 5,000 digits": Raw(get(f"{NODES}&per_page={'9' * 5000}"), 400),
    "a page below zero": Raw(get(f"{NODES}&page_no=-5&per_page=-1"), 200),
    "a project of other digits": Raw(get(f"{LISTING}&project_id=%D9%A1%C2%B2"), 400),
    "a project of 5,000 digits": Raw(get(f"{LISTING}&project_id={'1' * 5000}"), 200),
    "an upgrade": Raw(get(LISTING, "Connection: Upgrade", "Upgrade: websocket"), 200),
    "a length below zero": Raw(post(b"", length="-1"), 400),
    "a length that is text": Raw(post(BODY, length="many"), 400),
    "two lengths": Raw(post(BODY, "Content-Length: 4"), 400),
    "a length and chunks": Raw(post(BODY, "Transfer-Encoding: chunked"), 400),
    "a length that never comes": Raw(post(BODY, length="99999"), None),
    "an unknown transfer": Raw(get(IMAGE, "Transfer-Encoding: magic", method="POST"), 400),
    "chunks": Raw(chunked(RENAME[:9], RENAME[9:]), 200, renamed=True),
    "chunks and trailers": Raw(chunked(RENAME, tail="0\r\nX: y\r\n\r\n"), 200, renamed=True),
    "a chunk of no size": Raw(chunked(tail="zz\r\n"), 400),
    "no last chunk": Raw(chunked(RENAME, tail=""), None),
    "broken gzip": Raw(post(BODY, "Content-Encoding: gzip"), 400),
    "an odd expectation": Raw(post(BODY, "Expect: 200-maybe"), 200, renamed=True),
    "UTF-16": Raw(post(RENAME.encode("utf-16")), 400),
    "a byte order mark": Raw(post(b"\xef\xbb\xbf" + BODY), 400),
    "NaN": Raw(post(b'{"action_type": "rename", "name": "golden", "x": NaN}'), 400),
    "a lone surrogate": Raw(
        post(rb'{"action_type": "rename", "name": "\ud800"}'), 200, renamed=True
    ),
    "a listing with a body": Raw(get(LISTING, "Content-Length: 4") + b"abcd", 200),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_server_answers_any_bytes_and_keeps_working(
    case: str, caplog: pytest.LogCaptureFixture
) -> None:
    raw = CASES[case]
    images = [{"image_id": "7", "name": "old"}]
    async with FakeE2E(images, api_key=KEY, auth_token=TOKEN) as fake:
        got = await exchange(fake, raw.data, patience=SOON if raw.status else 0.1)
        if raw.status is None:
            assert got == b""
        else:
            answer = parse(got)
            assert answer.status in (raw.status if isinstance(raw.status, tuple) else [raw.status])
            assert answer.header("Date")
            assert KEY.encode() not in answer.body
            json.loads(answer.body)
        assert len(fake.ledger) == raw.renamed
        assert (await ask(fake, *LIST)).status == 200
        assert caplog.records == []
        assert fake.in_flight == 0


async def test_a_head_in_one_piece_with_the_next_request_is_answered_first() -> None:
    async with FakeE2E(api_key=KEY, auth_token=TOKEN) as fake:
        got = await exchange(fake, get(LISTING, method="HEAD") + get(NODES, "Connection: close"))
        _, _, rest = got.partition(b"\r\n\r\n")
        assert parse(rest).json["total_count"] == 5


async def test_the_server_keeps_working_after_clients_that_leave_at_any_byte(
    caplog: pytest.LogCaptureFixture,
) -> None:
    data = post(BODY)
    images = [{"image_id": "7", "name": "old"}]
    async with FakeE2E(images, api_key=KEY, auth_token=TOKEN) as fake:
        for length in range(0, len(data), 7):
            await exchange(fake, data[:length], patience=0.002)
        assert fake.ledger == []
        assert (await ask(fake, *LIST)).status == 200
        await fake.settle()
        assert caplog.records == []
