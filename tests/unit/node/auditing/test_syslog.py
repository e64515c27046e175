"""Syslog over TLS: frames, and when a batch counts as arrived."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.auditing.syslog import Receiver, framed, send
from node.dicom.tls import client_context
from node.errors import Retryable
from tests.syslog_receivers import SmallReceiver, certificates, free_port

AT = datetime(2025, 3, 4, 5, 6, 7, 891000, tzinfo=UTC)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def receiver(keys: Path) -> Iterator[SmallReceiver]:
    """A receiver that listens."""
    made = SmallReceiver(keys)
    yield made
    made.stop()


def context(keys: Path) -> ssl.SSLContext:
    """Of a client that the receiver knows."""
    return client_context(keys / "ca.pem", keys / "peer.pem", keys / "peer.key")


def test_a_frame_is_a_length_and_a_message_of_rfc_5424() -> None:
    """PRI 85, version 1, a moment in UTC, MSGID as PS3.15 section A.6 names it."""
    frame = framed(b"<x/>", AT, "node one\u2028")
    length, _, rest = frame.partition(b" ")
    assert int(length) == len(rest)
    assert re.fullmatch(rb"<85>1 2025-03-04T05:06:07\.891Z nodeone celadon \d+ DICOM\+RFC3881 - <x/>", rest)


def test_what_was_sent_has_arrived_when_the_call_returns(keys: Path, receiver: SmallReceiver) -> None:
    """In order, octets as they were."""
    sent = [framed(f"<m>{number} \u00e4</m>".encode(), AT, "node") for number in range(300)]
    send(Receiver("localhost", receiver.port, context(keys), 10), sent)
    assert [message.rpartition(b" - ")[2] for message in receiver.messages] == [
        f"<m>{number} \u00e4</m>".encode() for number in range(300)
    ]


def test_a_connection_that_breaks_is_no_arrival(keys: Path) -> None:
    """Whatever the system has taken into its buffers."""
    receiver = SmallReceiver(keys, breaks_after=10_000)
    with pytest.raises(Retryable, match="audit repository"):
        send(Receiver("localhost", receiver.port, context(keys), 10), [framed(b"x" * 2000, AT, "node")] * 100)
    receiver.stop()
    assert receiver.messages == []


def test_nobody_who_listens_is_no_arrival(keys: Path) -> None:
    """The sender says so and goes on living."""
    with pytest.raises(Retryable, match="ConnectionRefusedError"):
        send(Receiver("localhost", free_port(), context(keys), 10), [framed(b"x", AT, "node")])


def test_a_repository_that_cannot_prove_its_name_gets_nothing(
    keys: Path, receiver: SmallReceiver, tmp_path: Path
) -> None:
    """Its certificate is of an authority that the settings do not name."""
    strangers = certificates(tmp_path / "strangers")
    with pytest.raises(Retryable, match="SSLCertVerificationError"):
        send(Receiver("localhost", receiver.port, client_context(strangers / "ca.pem"), 10), [framed(b"x", AT, "n")])
    assert receiver.messages == []
