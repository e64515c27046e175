"""The HL7 listener: stored, then acknowledged; whatever comes, the next sender is served."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import hl7
import pytest

from node.clinical.hl7_listener import Hl7Listener
from node.domain.audit import AuditEvent
from node.domain.clinical_intake import Accepted, Intake
from node.errors import Retryable, UsageError
from node.settings import Hl7Settings

HEADER = "MSH|^~\\&|LAB|HOSP|CELADON|NODE|20240506||ORU^R01|{}|P|2.5.1"
BODY = "\rPID|1||4711^^^HOSP^MR||Doe^Jane\rOBR|1||F1||||20240505\rOBX|1|NM|24108-3^CA^LN||37|U/mL|||||F"


def message(control_id: str = "17", body: str = BODY) -> bytes:
    """A result message."""
    return (HEADER.format(control_id) + body).encode()


@dataclass
class Store:
    """Takes what it is given, and fails when it is told to."""

    intakes: list[Intake] = field(default_factory=list)
    events: list[AuditEvent] = field(default_factory=list)
    error: Exception | None = None

    def accept(self, intake: Intake) -> Accepted:
        """Store it."""
        if self.error is not None:
            raise self.error
        is_known = any(one.message == intake.message for one in self.intakes)
        self.intakes.append(intake)
        return Accepted(is_duplicate=is_known)


@dataclass
class Sender:
    """A laboratory system."""

    socket: socket.socket

    def ask(self, content: bytes) -> "hl7.Message":
        """Send a message; gives the acknowledgement, as python-hl7 reads it."""
        self.socket.sendall(b"\x0b" + content + b"\x1c\r")
        return hl7.parse(self.raw().decode())

    def raw(self) -> bytes:
        """The next frame."""
        received = b""
        while not received.endswith(b"\x1c\r"):
            chunk = self.socket.recv(4096)
            assert chunk, "the connection was closed instead of answered"
            received += chunk
        return received[1:-2]

    def is_closed(self) -> bool:
        """Whether the other side has hung up."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@contextmanager
def serving(store: Store, **settings: object) -> Iterator[Hl7Listener]:
    """A listener on a free port."""
    wanted = Hl7Settings.model_validate({"port": 0, "message_s": 5.0} | settings)
    listener = Hl7Listener(wanted, "", store.accept, store.events.append)
    listener.start()
    try:
        yield listener
    finally:
        listener.stop()


@contextmanager
def calling(listener: Hl7Listener) -> Iterator[Sender]:
    """A connection to it."""
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as peer:
        yield Sender(peer)


def said(reply: "hl7.Message") -> tuple[str, str]:
    """The acknowledgement's code and the control ID that it is for."""
    segment = reply.segment("MSA")
    return str(segment[1]), str(segment[2])


def test_a_message_is_stored_and_acknowledged() -> None:
    """AA with its control ID; several on one connection."""
    store = Store()
    with serving(store) as listener, calling(listener) as sender:
        assert said(sender.ask(message("17"))) == ("AA", "17")
        assert said(sender.ask(message("18"))) == ("AA", "18")
    assert [intake.message.control_id for intake in store.intakes if intake.message] == ["17", "18"]
    assert store.intakes[0].values[0].read.value == 37.0


def test_what_cannot_be_stored_now_is_answered_so_that_it_comes_again() -> None:
    """AE, and AA when the database is back."""
    store = Store(error=Retryable("database: locked"))
    with serving(store) as listener, calling(listener) as sender:
        assert said(sender.ask(message())) == ("AE", "17")
        store.error = None
        assert said(sender.ask(message())) == ("AA", "17")


def test_an_error_that_nobody_foresaw_ends_nothing() -> None:
    """AE, without what the error says: it may quote the patient."""
    store = Store(error=ValueError("Doe^Jane"))
    with serving(store) as listener, calling(listener) as sender:
        reply = sender.ask(message())
        assert said(reply) == ("AE", "17")
        assert "Doe" not in str(reply)
        store.error = None
        assert said(sender.ask(message())) == ("AA", "17")


@pytest.mark.parametrize(
    ("content", "expected", "why"),
    [
        (message().replace(b"ORU^R01", b"ORM^O01"), ("AR", "17"), "200 unsupported message type"),
        (message(body="\rPID|1||\rOBR|1"), ("AE", "17"), "101 required field missing: PID-3"),
        (b"hello", ("AR", ""), "NO_HEADER"),
        (message(body="\rPID|1||\xff").replace("ÿ".encode(), b"\xff"), ("AR", "17"), "CHARACTERS"),
    ],
)
def test_what_cannot_be_taken_is_answered_and_audited(content: bytes, expected: tuple[str, str], why: str) -> None:
    """The reason in the audit trail, nothing stored, the connection stays."""
    store = Store()
    with serving(store) as listener, calling(listener) as sender:
        assert said(sender.ask(content)) == expected
        assert said(sender.ask(message("next"))) == ("AA", "next")
    assert [event.details["why"] for event in store.events] == [why]
    assert len(store.intakes) == 1


def test_a_hundred_megabytes_are_refused_without_being_kept() -> None:
    """AR with its control ID; the next message is taken."""
    store = Store()
    with serving(store, max_mb=2.0, message_s=60.0) as listener, calling(listener) as sender:
        sender.socket.settimeout(60)
        assert said(sender.ask(message() + b"\rOBX|" + b"x" * 100_000_000)) == ("AR", "17")
        assert said(sender.ask(message("18"))) == ("AA", "18")


def test_a_batch_is_answered_by_a_batch() -> None:
    """Each of its messages is judged by itself."""
    bad = message("18").replace(b"ORU^R01", b"ORM^O01")
    content = b"BHS|^~\\&|LAB\r" + message("17") + b"\r" + bad + b"\rBTS|2"
    with serving(Store()) as listener, calling(listener) as sender:
        sender.socket.sendall(b"\x0b" + content + b"\x1c\r")
        lines = sender.raw().decode().split("\r")
    assert lines[0].startswith("BHS|")
    assert [line.split("|")[1:3] for line in lines if line.startswith("MSA")] == [["AA", "17"], ["AR", "18"]]
    assert lines[-2] == "BTS|2"


def test_who_is_not_on_the_list_is_not_heard() -> None:
    """Their connection is closed before a byte is read."""
    store = Store()
    with serving(store, peers=("192.0.2.1",)) as listener, calling(listener) as sender:
        assert sender.is_closed()
    assert store.intakes == []


def test_one_connection_too_many_is_closed_and_room_is_made_again() -> None:
    """Those that are open go on."""
    with serving(Store(), connections=1) as listener:
        with calling(listener) as first:
            assert said(first.ask(message("1"))) == ("AA", "1")
            with calling(listener) as second:
                assert second.is_closed()
            assert said(first.ask(message("2"))) == ("AA", "2")
        for _ in range(100):
            with calling(listener) as third, third.socket:
                third.socket.sendall(b"\x0b" + message("3") + b"\x1c\r")
                if not third.is_closed():
                    return
            time.sleep(0.05)
        pytest.fail("no room was made")


def test_slow_and_foreign_senders_are_hung_up_on() -> None:
    """A message that never ends, and another protocol."""
    with serving(Store(), message_s=0.3) as listener:
        with calling(listener) as slow:
            slow.socket.sendall(b"\x0bMSH|half")
            assert slow.is_closed()
        with calling(listener) as foreign:
            foreign.socket.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert foreign.is_closed()
        with calling(listener) as sender:
            assert said(sender.ask(message())) == ("AA", "17")


def test_a_port_that_is_taken_is_wrong_usage() -> None:
    """One line that names the setting."""
    with serving(Store()) as listener, pytest.raises(UsageError, match=r"clinical\.hl7\.port"):
        Hl7Listener(Hl7Settings(port=listener.port), "", Store().accept, lambda _: None).start()
