"""Trust in certificates, read once per process: it takes longer than many a request."""

from __future__ import annotations

import os
import ssl
from functools import cache

import httpx


def trust() -> ssl.SSLContext:
    """What the HTTP library trusts, in this environment; every client shares it."""
    return _trust(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _trust(certificates: str | None, directory: str | None) -> ssl.SSLContext:
    """The arguments are where the library looks for certificates: elsewhere, it finds others."""
    return httpx.create_ssl_context()
