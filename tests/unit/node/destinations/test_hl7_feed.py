"""A receiver of HL7 messages: what it acknowledges is delivered, what it refuses is told apart."""

import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from node.clinical.mllp import Connection, Ended
from node.destinations.hl7_feed import FeedDestination
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery
from node.settings import FeedSettings
from tests.factories import SERIES

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
TEXT = "MSH|^~\\&|CELADON||||20240506070809+0000||ORU^R01^ORU_R01|C{0}|P|2.5.1||||||UNICODE UTF-8\rPID|1||P-1\r"


def acknowledgement(control_id: str, code: str = "AA", rest: str = "") -> str:
    """An ACK."""
    return f"MSH|^~\\&|RIS||CELADON||20240506||ACK|A1|P|2.5.1\rMSA|{code}|{control_id}\r{rest}"


@dataclass
class Receiver:
    """Answers each message as told."""

    answer: Callable[[str], str] = acknowledgement
    received: list[str] = field(default_factory=list)
    port: int = 0


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A running receiver, for one connection."""
    told = Receiver()
    listening = socket.create_server(("127.0.0.1", 0))
    told.port = listening.getsockname()[1]

    def serve() -> None:
        try:
            peer, _ = listening.accept()
        except OSError:
            return
        with peer:
            connection = Connection(peer, max_bytes=10**6, message_s=5, idle_s=5)
            try:
                while True:
                    text = connection.next().content.decode()
                    told.received.append(text)
                    connection.send(told.answer(text.split("|")[9]).encode())
            except Ended:
                return

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield told
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join(10)


@pytest.fixture
def messages(tmp_path: Path) -> tuple[Delivery, ...]:
    """Two messages."""
    made = []
    for number in (1, 2):
        path = tmp_path / str(number)
        path.write_text(TEXT.format(number), newline="")
        uid = InstanceUID(f"2.25.{number}")
        made.append(Delivery(number, JobId.of(SERIES, 1), uid, "", "ris", path, 1, DeliveryState.SENDING))
    return tuple(made)


def states(port: int, messages: tuple[Delivery, ...]) -> list[DeliveryState]:
    """What becomes of the messages."""
    settings = FeedSettings(host="127.0.0.1", port=port, application="RIS", facility="A|B", timeout_s=2)
    return [one.state for one in FeedDestination("ris", settings).deliver(messages)]


def test_what_is_acknowledged_is_delivered(receiver: Receiver, messages: tuple[Delivery, ...]) -> None:
    """Over one connection, addressed to its receiver."""
    assert states(receiver.port, messages) == [STORED] * 2
    assert [text.split("|")[4:6] for text in receiver.received] == [["RIS", "A\\F\\B"]] * 2
    assert all(text.endswith("\rPID|1||P-1\r") for text in receiver.received)


@pytest.mark.parametrize(
    ("code", "rest", "state"),
    [
        ("AE", "", FAILED),
        ("AR", "ERR||PID^1|207^Application internal error^HL70357|E\r", PENDING),
        ("AR", "ERR||MSH^1|200^Unsupported message type^HL70357|E\r", FAILED),
        ("XX", "", PENDING),
    ],
)
def test_a_refusal_is_for_good_when_it_is_about_the_message(
    receiver: Receiver, messages: tuple[Delivery, ...], code: str, rest: str, state: DeliveryState
) -> None:
    """A receiver that is in trouble itself is asked again."""
    receiver.answer = lambda control_id: acknowledgement(control_id, code, rest)
    assert states(receiver.port, messages) == [state] * 2


@pytest.mark.parametrize("answer", ["no HL7", acknowledgement("C9")], ids=["unreadable", "of another message"])
def test_an_answer_that_says_nothing_of_the_message_is_none(
    receiver: Receiver, messages: tuple[Delivery, ...], answer: str
) -> None:
    """It is sent again."""
    receiver.answer = lambda _: answer
    assert states(receiver.port, messages) == [PENDING] * 2


def test_a_message_that_cannot_be_read_keeps_no_other(receiver: Receiver, messages: tuple[Delivery, ...]) -> None:
    """It is tried again."""
    messages[0].path.unlink()
    assert states(receiver.port, messages) == [PENDING, STORED]


def test_a_receiver_that_is_away_is_tried_again(messages: tuple[Delivery, ...]) -> None:
    """Nothing is raised."""
    assert states(1, messages) == [PENDING] * 2
