"""Which certificates are trusted: the system's, and none that an environment variable names."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import ssl
import sys
import threading
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any, Final, cast

from aioe2e._check import quoted
from aioe2e.errors import ConfigError

_log: Final = logging.getLogger("aioe2e")

#: Windows keeps the certificates of authorities in these stores.
_WINDOWS_STORES: Final = ("ROOT", "CA")


def given_context(value: object) -> ssl.SSLContext | None:
    """The TLS context of a user's own: given as one, or as a file of certificates.

    Args:
        value: An `ssl.SSLContext`; the path of a file with certificates of authorities in PEM, of
            which those and no others are trusted; or None for none.

    Raises:
        ConfigError: It is nothing of that, the file cannot be used, or the context would believe
            any server.
    """
    if value is None:
        return None
    if isinstance(value, ssl.SSLContext):
        if value.verify_mode is not ssl.CERT_REQUIRED or not value.check_hostname:
            raise ConfigError(
                "ssl must verify certificates and host names (verify_mode=CERT_REQUIRED,"
                " check_hostname=True): else anybody on the way could read the credentials"
            )
        return value
    if not isinstance(value, str | PathLike):
        raise ConfigError(
            "ssl must be an ssl.SSLContext or the path of a file of certificates,"
            f" not of type {type(value).__name__}"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = os.fspath(cast("str | PathLike[str]", value))
    problem = ""
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        problem = "there is no certificate in PEM in it"
    except (OSError, ValueError) as error:
        problem = getattr(error, "strerror", None) or type(error).__name__
    if problem:
        raise ConfigError(f"ssl: the file {quoted(path)} cannot be used: {problem}")
    return context


async def verified_context() -> ssl.SSLContext:
    """A TLS context that verifies certificates and host names.

    It ignores ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. Python's own default context reads both
    variables, so that a program that sets them could read every credential.

    There is one for all sessions. It is made in a thread, since reading the certificates of a
    system takes 30 to 70 ms. Calls that start together wait for the same one.
    """
    if not _made_context.cache_info().currsize:
        await asyncio.to_thread(_make_once)
    return _made_context()


class _Making:
    """Held by the thread that makes the context. A cache alone would let each thread make one."""

    lock: threading.Lock = threading.Lock()

    @classmethod
    def renew(cls) -> None:
        """A forked child begins. The thread that holds the lock, if one does, is not in it."""
        cls.lock = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, where nothing forks
    os.register_at_fork(after_in_child=_Making.renew)


def _make_once() -> None:
    with _Making.lock:
        _made_context()


@functools.cache
def _made_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.platform == "win32":
        for store in _WINDOWS_STORES:
            _trust_windows_store(context, store)
        return context
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile or capath:
        context.load_verify_locations(cafile, capath)
    else:  # no store where this build of OpenSSL looks for it: only Python may know another
        context.load_default_certs()
    return context


#: A certificate, how it is encoded, and what Windows trusts it for: True for everything.
_Found = tuple[bytes, str, Any]


def _windows_certificates() -> Callable[[str], Iterable[_Found]]:
    # Only Windows has the function, and only there do type checkers know it.
    return cast("Callable[[str], Iterable[_Found]]", vars(ssl)["enum_certificates"])


def _trust_windows_store(context: ssl.SSLContext, store: str) -> None:
    """Trust what a store of Windows holds, as the standard library does.

    A store that cannot be read, and a certificate that is damaged, are passed over. Certificates
    that Windows trusts for other purposes (signed mail, signed programs) are not trusted.
    """
    for_servers = ssl.Purpose.SERVER_AUTH.oid
    try:
        found = _windows_certificates()(store)
    except OSError as error:
        _log.warning("the certificate store %s of Windows cannot be read: %s", store, error)
        return
    for certificate, encoding, purposes in found:
        is_trusted = purposes is True or for_servers in purposes
        if encoding != "x509_asn" or not is_trusted:
            continue
        try:
            context.load_verify_locations(cadata=certificate)
        except ssl.SSLError as error:
            _log.warning("a certificate in the store %s of Windows is damaged: %s", store, error)
