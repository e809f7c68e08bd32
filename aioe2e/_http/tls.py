"""Which certificates are trusted: the system's, and none that an environment variable names."""

from __future__ import annotations

import functools
import ssl
import sys
from pathlib import Path


@functools.cache
def verified_context() -> ssl.SSLContext:
    """A TLS context that verifies certificates and host names.

    It ignores ``SSL_CERT_FILE`` and ``SSL_CERT_DIR``. Python's own default context reads both
    variables, so that a program that sets them could read every credential.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if sys.platform == "win32":
        for store in ("ROOT", "CA"):
            certificates = (
                data for data, kind, _ in ssl.enum_certificates(store) if kind == "x509_asn"
            )
            context.load_verify_locations(cadata=b"".join(certificates))
        return context
    paths = ssl.get_default_verify_paths()
    cafile = paths.openssl_cafile if Path(paths.openssl_cafile).is_file() else None
    capath = paths.openssl_capath if Path(paths.openssl_capath).is_dir() else None
    if cafile or capath:
        context.load_verify_locations(cafile, capath)
    else:  # no store where this build of OpenSSL looks for it: only Python may know another
        context.load_default_certs()
    return context
