"""Another application entity that Celadon calls: its title, its address, and how associations with it are opened."""

import re
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from node.dicom.tls import client_context
from node.domain.identifiers import AeTitle
from node.errors import Retryable, UsageError
from node.settings import PacsSettings

DEFAULT_TIMEOUT_S: Final = 30.0
_HIGHEST_PORT: Final = 65535

# PS3.8 table 9-21: (result, source, diagnostic) as a person reads it. The source is 1, the service user.
_REJECTIONS: Final[dict[int, str]] = {
    1: "it gave no reason",
    2: "it does not know the application context",
    3: "it does not know the calling AE title {calling}",
    7: "it does not answer to the AE title {called}",
}


@dataclass(frozen=True, slots=True)
class Peer:
    """A remote application entity."""

    ae_title: AeTitle
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The peer that ``AE@HOST:PORT`` names; UsageError when it is not of that form."""
        match = re.fullmatch(r"(?P<title>[^@]+)@(?P<host>\[[^\]]+\]|[^:@]+):(?P<port>\d{1,5})", text.strip())
        if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
            raise UsageError(f"a peer is written AE@HOST:PORT, not {text!r}")
        try:
            title = AeTitle(match["title"])
        except ValueError as exc:
            raise UsageError(str(exc)) from exc
        return cls(title, match["host"].strip("[]"), int(match["port"]))

    @classmethod
    def of(cls, settings: PacsSettings) -> Self:
        """A configured archive; UsageError when its TLS files cannot be used."""
        tls = settings.tls
        secure = client_context(tls.ca, tls.certificate, tls.key) if tls else None
        return cls(AeTitle(settings.ae_title), settings.host, settings.port, secure)

    def __str__(self) -> str:
        return f"{self.ae_title}@{self.host}:{self.port}"


def open_association(
    peer: Peer,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    timeout_s: float = DEFAULT_TIMEOUT_S,
    **options: Any,
) -> Association:
    """An association with ``peer``; Retryable with a sentence when there is none.

    When the peer answers but accepts no context, what is returned has ended already and has no accepted contexts.
    ``options`` are pynetdicom's (``ext_neg``, ``evt_handlers``). ``timeout_s`` bounds the connection, the negotiation
    and the wait for each answer.
    """
    ae = AE(ae_title=AeTitle(calling_ae))
    ae.connection_timeout = ae.acse_timeout = ae.dimse_timeout = timeout_s
    # Its silence is measured with the clock on the wall: one that is set would end an association in mid-object. Each
    # wait for an answer has its own end, by a clock that nobody can set.
    ae.network_timeout = None
    tls_args = (peer.tls, peer.host) if peer.tls else None
    try:
        association = ae.associate(
            peer.host, peer.port, list(contexts), ae_title=peer.ae_title, tls_args=tls_args, **options
        )
    except (OSError, RuntimeError) as exc:
        raise Retryable(f"no connection to {peer}: {exc}") from exc
    if not association.is_established and not association.rejected_contexts:
        raise Retryable(_why_not(association, peer, calling_ae))
    return association


@contextmanager
def association_with(
    peer: Peer,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    timeout_s: float = DEFAULT_TIMEOUT_S,
    **options: Any,
) -> Iterator[Association]:
    """An association for the length of a ``with`` block; released at its end, aborted when the block fails."""
    association = open_association(peer, calling_ae, contexts, timeout_s, **options)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    close(association)


def close(association: Association) -> None:
    """Release, when there is still something to release."""
    if association.is_established:
        association.release()


def _why_not(association: Association, peer: Peer, calling_ae: str) -> str:
    """One sentence on why there is no association."""
    if not association.is_rejected:
        return f"{peer} did not answer"
    answer = association.acceptor.primitive
    words = _REJECTIONS.get(answer.diagnostic, "it is busy or at its limit") if answer.result_source == 1 else ""
    why = words.format(calling=calling_ae, called=peer.ae_title) or "it is busy or at its limit"
    return f"{peer} rejected the association: {why}"
