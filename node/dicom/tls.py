"""TLS for the listener, with mutual authentication, and towards those whom Celadon calls.

The rules are those of the Modified BCP 195 RFC 8996, 9325 TLS Secure Transport Connection Profile (PS3.15 section
B.13), narrowed: TLS 1.2 or 1.3, ephemeral elliptic-curve key exchange, authenticated encryption, and a certificate from
every client. ``deploy/tls/README.md`` says how certificates for tests are made.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node.errors import UsageError

# RFC 9325 section 4.2, for TLS 1.2; the suites of TLS 1.3 are all of this kind, and OpenSSL chooses among them itself.
CIPHER_SUITES: Final = (
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
)


@dataclass(frozen=True, slots=True)
class Certificates:
    """Where the files are (PEM)."""

    chain: Path
    """This node's certificate, followed by those between it and its authority."""
    key: Path
    """The private key, without a password: readable by this process' user only."""
    client_authorities: Path
    """Who may vouch for clients."""


def server_context(files: Certificates) -> ssl.SSLContext:
    """The context that connections are accepted with; UsageError when a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHER_SUITES))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Associations are long and few: resuming sessions would spare little, and skips looking at the certificate again.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    context.verify_mode = ssl.CERT_REQUIRED
    try:
        context.load_cert_chain(files.chain, files.key, password="")
        context.load_verify_locations(files.client_authorities)
    except (OSError, ValueError) as exc:
        names = ", ".join(str(path) for path in (files.chain, files.key, files.client_authorities))
        raise UsageError(f"TLS: one of {names} cannot be used: {exc}") from exc
    return context


def client_context(authorities: Path, chain: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """The context to connect with: the peer's certificate is verified, its host name too.

    ``chain`` and ``key``: this node's, where the peer asks for them. UsageError when a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(":".join(CIPHER_SUITES))
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_verify_locations(authorities)
        if chain is not None:
            context.load_cert_chain(chain, key, password="")
    except (OSError, ValueError) as exc:
        names = ", ".join(str(path) for path in (authorities, chain, key) if path is not None)
        raise UsageError(f"TLS: one of {names} cannot be used: {exc}") from exc
    return context
