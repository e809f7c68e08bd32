"""TLS and the environment: credentials go to the configured origin alone, and only after its certificate was verified."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme

import aioe2e

ONCE = aioe2e.RetryPolicy.none()
SECRETS = aioe2e.Credentials(api_key="the-api-key", auth_token="the-auth-token")
REPLY = b'{"code": 200, "data": [], "message": "Success"}'


class Listener:
    """Serves an empty listing, and remembers every connection and every byte of HTTP that it was sent."""

    def __init__(self) -> None:
        self.connections = 0
        self.heard = b""
        self.port = 0
        self._tasks: set[asyncio.Task[object]] = set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with contextlib.suppress(ConnectionError, ssl.SSLError, asyncio.CancelledError):
            while data := await reader.read(65536):
                self.heard += data
                head = (
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                    % len(REPLY)
                )
                writer.write(head + REPLY)
        writer.close()
        self._tasks.discard(task)

    @contextlib.asynccontextmanager
    async def running(self, context: ssl.SSLContext | None = None) -> AsyncIterator[Listener]:
        loop = asyncio.get_running_loop()
        complain = loop.get_exception_handler()
        loop.set_exception_handler(
            lambda *_: None
        )  # a client that refuses a certificate is no news
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            loop.set_exception_handler(complain)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str, expired: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    if expired:
        certificate = authority.issue_cert(
            *names, not_before=yesterday - datetime.timedelta(days=9), not_after=yesterday
        )
    else:
        certificate = authority.issue_cert(*names)
    certificate.configure_cert(context)
    return context


@contextlib.asynccontextmanager
async def trusting(authority: trustme.CA) -> AsyncIterator[aiohttp.ClientSession]:
    """A borrowed session whose pool trusts the authority of the tests."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as http:
        yield http


async def test_a_good_certificate_is_accepted(authority: trustme.CA) -> None:
    async with (
        Listener().running(serving(authority, "localhost")) as server,
        trusting(authority) as http,
    ):
        async with aioe2e.Session(
            SECRETS, base_url=f"https://localhost:{server.port}", http=http
        ) as session:
            for _ in range(3):
                assert await session.images.list() == []
        assert server.heard.count(b"Bearer the-auth-token") == 3
        assert server.connections == 1  # session tickets are no stray reply


@pytest.mark.parametrize("flaw", ["untrusted", "expired", "wrong name"])
@pytest.mark.parametrize("action", ["list", "save"])
async def test_a_bad_certificate_is_refused_before_a_byte_of_http_is_sent(
    flaw: str, action: str, authority: trustme.CA
) -> None:
    name = "elsewhere.example" if flaw == "wrong name" else "localhost"
    context = serving(authority, name, expired=flaw == "expired")
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(Listener().running(context))
        http = None if flaw == "untrusted" else await stack.enter_async_context(trusting(authority))
        base = f"https://localhost:{server.port}"
        session = await stack.enter_async_context(
            aioe2e.Session(SECRETS, base_url=base, http=http, retry=ONCE)
        )
        with pytest.raises(aioe2e.ConnectError) as caught:
            await (session.images.list() if action == "list" else session.images.save(1, "n"))
        assert not caught.value.sent
        word = {
            "untrusted": "issuer|self.signed",
            "expired": "expired",
            "wrong name": "mismatch|not valid for",
        }[flaw]
        assert caught.match(f"(?i)certificate.*({word})|({word}).*certificate|Hostname")
        assert server.heard == b""


async def test_an_old_protocol_is_refused(authority: trustme.CA) -> None:
    context = serving(authority, "localhost")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with Listener().running(context) as server:
        async with aioe2e.Session(
            SECRETS, base_url=f"https://localhost:{server.port}", retry=ONCE
        ) as session:
            with pytest.raises(aioe2e.ConnectError):
                await session.images.list()
        assert server.heard == b""


async def test_a_server_that_speaks_no_tls_hears_no_http() -> None:
    async with Listener().running() as server:
        async with aioe2e.Session(
            SECRETS, base_url=f"https://localhost:{server.port}", retry=ONCE
        ) as session:
            with pytest.raises(aioe2e.ConnectError):
                await session.images.list()
        assert b"the-" not in server.heard


# The environment, read when the process starts: each of these runs in a process of its own.

_CALL = """
import asyncio, json, sys
import aioe2e

async def main():
    secrets = aioe2e.Credentials(api_key="the-api-key", auth_token="the-auth-token")
    trust = sys.argv[2] == "trust"
    async with aioe2e.Session(secrets, base_url=sys.argv[1], retry=aioe2e.RetryPolicy.none(), trust_env=trust) as session:
        try:
            print(json.dumps(["ok", len(await session.images.list())]))
        except aioe2e.E2EError as error:
            print(json.dumps([type(error).__name__, str(error)]))

asyncio.run(main())
"""


async def called(url: str, *, trust: bool, **environment: str) -> list[str]:
    """What a process with this environment makes of a listing."""
    clean = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-c", _CALL, url, "trust" if trust else "distrust",
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**clean, "PYTHONPATH": str(Path(aioe2e.__file__).parent.parent), **environment},
    )  # fmt: skip
    out, err = await process.communicate()
    assert not err, err.decode()
    said: list[str] = json.loads(out)
    return said


@pytest.fixture
def trust_file(authority: trustme.CA) -> Iterator[str]:
    with authority.cert_pem.tempfile() as name:
        yield name


async def test_ssl_cert_file_changes_nothing_unless_asked(
    authority: trustme.CA, trust_file: str
) -> None:
    async with Listener().running(serving(authority, "localhost")) as server:
        url = f"https://localhost:{server.port}"
        kind, _ = await called(
            url, trust=False, SSL_CERT_FILE=trust_file, SSL_CERT_DIR=str(Path(trust_file).parent)
        )
        assert kind == "ConnectError"
        assert server.heard == b""
        assert await called(url, trust=True, SSL_CERT_FILE=trust_file) == ["ok", 0]
        assert b"the-auth-token" in server.heard


_PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


def proxied(trap: Listener) -> dict[str, str]:
    """An environment in which a proxy stands for everything."""
    proxy = f"http://127.0.0.1:{trap.port}"
    return {**{name: proxy for name in _PROXIES if name != "HTTP_PROXY"}, "NO_PROXY": ""}


async def test_proxies_in_the_environment_are_not_used_unless_asked() -> None:
    async with Listener().running() as trap:
        url = "https://api.example.invalid"
        kind, said = await called(url, trust=False, **proxied(trap))
        assert kind == "ConnectError"
        assert "api.example.invalid" in said
        assert trap.connections == 0
        await called(url, trust=True, **proxied(trap))
        assert trap.heard.startswith(b"CONNECT api.example.invalid:443 HTTP/1.1\r\n")
        assert b"the-" not in trap.heard


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_what_is_asked_of_this_machine_never_goes_through_a_proxy(
    scheme: str, host: str, authority: trustme.CA
) -> None:
    context = serving(authority, host) if scheme == "https" else None
    async with Listener().running(context) as server, Listener().running() as trap:
        url = f"{scheme}://{host}:{server.port}"
        kind, _ = await called(url, trust=True, **proxied(trap))
        assert kind == ("ok" if scheme == "http" else "ConnectError")
        assert trap.connections == 0


async def test_no_proxy_is_heeded_when_the_environment_is_trusted() -> None:
    async with Listener().running() as trap:
        environment = {**proxied(trap), "NO_PROXY": "api.example.invalid"}
        kind, _ = await called("https://api.example.invalid", trust=True, **environment)
        assert kind == "ConnectError"
        assert trap.connections == 0


@pytest.mark.parametrize("trust", [False, True])
async def test_netrc_never_takes_the_place_of_the_token(trust: bool, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(
        "machine localhost\n login somebody\n password netrc-password\n", encoding="utf-8"
    )
    netrc.chmod(0o600)
    async with Listener().running() as server:
        said = await called(f"http://localhost:{server.port}", trust=trust, NETRC=str(netrc))
        assert said == ["ok", 0]
        assert server.heard.count(b"Authorization:") == 1
        assert b"Bearer the-auth-token" in server.heard


async def test_plain_http_is_for_loopback_only() -> None:
    for base in (
        "http://10.0.0.1",
        "http://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
    ):
        with pytest.raises(aioe2e.ConfigError, match="https"):
            aioe2e.Session(SECRETS, base_url=base)
    for base in ("http://127.0.0.9", "http://[::1]:80", "http://localhost"):
        aioe2e.Session(SECRETS, base_url=base)


# A context or a file of one's own


@pytest.fixture(params=["context", "file as text", "file as path"])
def trust(
    request: pytest.FixtureRequest, authority: trustme.CA, tmp_path: Path
) -> ssl.SSLContext | str | Path:
    if request.param == "context":
        context = ssl.create_default_context()
        authority.configure_trust(context)
        return context
    path = tmp_path / "authorities.pem"
    authority.cert_pem.write_to_path(str(path))
    return path if request.param == "file as path" else str(path)


async def test_a_context_or_a_file_of_ones_own_is_trusted_without_a_borrowed_pool(
    authority: trustme.CA, trust: ssl.SSLContext | str | Path
) -> None:
    async with Listener().running(serving(authority, "localhost")) as server:
        base = f"https://localhost:{server.port}"
        async with aioe2e.Session(SECRETS, base_url=base, ssl=trust) as session:
            assert await session.images.list() == []
        async with aioe2e.Session(SECRETS, base_url=base, ssl=trust, trust_env=True) as session:
            assert await session.images.list() == []
        async with aioe2e.Session(SECRETS, base_url=base, retry=ONCE) as session:
            with pytest.raises(aioe2e.ConnectError):
                await session.images.list()


async def test_a_file_of_ones_own_does_not_make_another_host_believable(
    authority: trustme.CA, trust: ssl.SSLContext | str | Path
) -> None:
    async with Listener().running(serving(authority, "elsewhere.example")) as server:
        base = f"https://localhost:{server.port}"
        async with aioe2e.Session(SECRETS, base_url=base, ssl=trust, retry=ONCE) as session:
            with pytest.raises(aioe2e.ConnectError):
                await session.images.list()
        assert server.heard == b""


def careless(*, hosts: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    if not hosts:
        context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (careless(hosts=True), "ssl must verify certificates and host names"),
        (careless(hosts=False), "ssl must verify certificates and host names"),
        (True, "not of type bool"),
        (False, "not of type bool"),
        (5, "not of type int"),
        ("/nowhere/ca.pem", "the file '/nowhere/ca.pem' cannot be used: No such file"),
        ("", "cannot be used"),
        ("a\0b", "cannot be used"),
        (__file__, "there is no certificate in PEM in it"),
    ],
)
def test_what_cannot_be_trusted_is_refused_when_the_session_is_built(given: Any, says: str) -> None:
    with pytest.raises(aioe2e.ConfigError, match="ssl") as caught:
        aioe2e.Session(SECRETS, ssl=given)
    assert says in str(caught.value)
    assert caught.value.__context__ is None


async def test_a_context_of_ones_own_does_not_go_with_a_borrowed_pool() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aioe2e.ConfigError, match="ssl has no effect with http="):
            aioe2e.Session(SECRETS, http=http, ssl=ssl.create_default_context())
