"""Which certificates are trusted, and what it costs the loop to find them."""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator

import pytest
import trustme

from aioe2e._http import tls

#: A certificate, how it is encoded, and what Windows trusts it for.
Entry = tuple[bytes, str, object]
SERVERS = ssl.Purpose.SERVER_AUTH.oid
SIGNED_MAIL = "1.3.6.1.5.5.7.3.4"


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    tls._made_context.cache_clear()
    yield
    tls._made_context.cache_clear()


def certificate() -> bytes:
    return ssl.PEM_cert_to_DER_cert(trustme.CA().cert_pem.bytes().decode())


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], Iterable[Entry]]], int]:
    """How many certificates are trusted on a Windows with such stores."""

    def trusted(stores: Callable[[str], Iterable[Entry]]) -> int:
        monkeypatch.setattr(sys, "platform", "win32")
        monkeypatch.setattr(ssl, "enum_certificates", stores, raising=False)
        context = tls._made_context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        return context.cert_store_stats()["x509"]

    return trusted


Windows = Callable[[Callable[[str], Iterable[Entry]]], int]


def test_an_empty_store_of_windows_trusts_nobody_and_breaks_nothing(windows: Windows) -> None:
    assert windows(lambda _: []) == 0


def test_a_damaged_certificate_in_a_store_of_windows_is_passed_over(
    windows: Windows, caplog: pytest.LogCaptureFixture
) -> None:
    entries: list[Entry] = [
        (b"damaged", "x509_asn", True),
        (certificate(), "x509_asn", True),
        (certificate()[:-20], "x509_asn", True),
    ]
    with caplog.at_level(logging.WARNING, "aioe2e"):
        assert windows(lambda store: entries if store == "ROOT" else []) == 1
    assert len([1 for record in caplog.records if "damaged" in record.getMessage()]) == 2


def test_a_store_of_windows_that_cannot_be_read_leaves_the_other(
    windows: Windows, caplog: pytest.LogCaptureFixture
) -> None:
    def stores(store: str) -> list[Entry]:
        if store == "ROOT":
            raise PermissionError(13, "Access is denied")
        return [(certificate(), "x509_asn", True)]

    with caplog.at_level(logging.WARNING, "aioe2e"):
        assert windows(stores) == 1
    assert "ROOT of Windows cannot be read" in caplog.text


def test_certificates_that_windows_trusts_for_other_purposes_are_not_trusted_for_tls(
    windows: Windows,
) -> None:
    entries: list[Entry] = [
        (certificate(), "x509_asn", frozenset({SIGNED_MAIL})),
        (certificate(), "x509_asn", frozenset()),
        (certificate(), "pkcs_7_asn", True),
        (certificate(), "x509_asn", frozenset({SIGNED_MAIL, SERVERS})),
    ]
    assert windows(lambda store: entries if store == "ROOT" else []) == 1


async def test_certificates_are_read_in_a_thread_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    original = ssl.SSLContext.load_verify_locations

    def loaded(self: ssl.SSLContext, *args: str) -> None:
        threads.append(threading.get_ident())
        original(self, *args)

    def loaded_by_default(self: ssl.SSLContext) -> None:
        threads.append(threading.get_ident())

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", loaded)
    monkeypatch.setattr(ssl.SSLContext, "load_default_certs", loaded_by_default)
    contexts = {await tls.verified_context() for _ in range(3)}
    contexts |= set(await asyncio.gather(*(tls.verified_context() for _ in range(3))))
    assert len(contexts) == 1
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_that_is_forked_while_a_context_is_made_makes_its_own() -> None:
    program = (
        "import os, signal\n"
        "from aioe2e._http import tls\n"
        "with tls._Making.lock:\n"  # as a thread has it that the child does not have
        "    child = os.fork()\n"
        "    if not child:\n"
        "        signal.alarm(20)\n"  # ends a child that waits for ever
        "        tls._make_once()\n"
        "        os._exit(0)\n"
        "    raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)


async def test_calls_that_start_together_wait_for_one_context(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0
    has_begun, may_end = threading.Event(), threading.Event()
    original = ssl.get_default_verify_paths

    def slow() -> ssl.DefaultVerifyPaths:
        nonlocal made
        made += 1
        has_begun.set()
        assert may_end.wait(10)
        return original()

    monkeypatch.setattr(ssl, "get_default_verify_paths", slow)
    calls = [asyncio.create_task(tls.verified_context()) for _ in range(40)]
    while not has_begun.is_set():
        await asyncio.sleep(0)
    calls[0].cancel()  # the others lose nothing by it
    with pytest.raises(asyncio.CancelledError):
        await calls[0]
    others: list[ssl.SSLContext] = []
    of_another_loop = threading.Thread(
        target=lambda: others.append(asyncio.run(tls.verified_context()))
    )
    of_another_loop.start()
    may_end.set()
    contexts = {*await asyncio.gather(*calls[1:])}
    of_another_loop.join()
    assert {*others} == contexts
    assert len(contexts) == 1
    assert made == 1
