"""MLLP: frames out of a stream of bytes, bounded in memory and time."""

import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.clinical.mllp import Connection, Ended, Frame

MAX_BYTES = 1000


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender and a receiver."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def reading(peer: socket.socket, *, message_s: float = 5.0, idle_s: float = 5.0) -> Connection:
    """The receiver's side."""
    return Connection(peer, max_bytes=MAX_BYTES, message_s=message_s, idle_s=idle_s)


def test_frames_come_one_after_the_other(pair: tuple[socket.socket, socket.socket]) -> None:
    """Also those that arrive together, and with line ends between them."""
    sender, receiver = pair
    sender.sendall(b"\x0bone\x1c\r\r\n\x0btwo\x1c\r\x0b\x1c\r")
    connection = reading(receiver)
    assert [connection.next() for _ in range(3)] == [Frame(b"one"), Frame(b"two"), Frame(b"")]


@settings(deadline=None, max_examples=50)
@given(
    messages=st.lists(st.binary(max_size=60).filter(lambda one: b"\x1c" not in one), min_size=1, max_size=4),
    cuts=st.lists(st.integers(1, 20), max_size=30),
)
def test_how_the_bytes_are_parted_does_not_matter(messages: list[bytes], cuts: list[int]) -> None:
    """TCP has no messages: an end may come in two pieces."""
    sender, receiver = socket.socketpair()
    with sender, receiver:
        stream = b"".join(b"\x0b" + message + b"\x1c\r" for message in messages)

        def send() -> None:
            rest = stream
            for cut in cuts:
                sender.sendall(rest[:cut])
                rest = rest[cut:]
            sender.sendall(rest)

        thread = threading.Thread(target=send)
        thread.start()
        connection = reading(receiver)
        assert [connection.next().content for _ in messages] == messages
        thread.join()


def test_a_message_that_is_too_large_is_read_to_its_end_and_thrown_away(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    """Its beginning stays, for the answer; memory stays bounded; the next message is read."""
    sender, receiver = pair
    content = b"MSH|" + b"x" * 50_000
    thread = threading.Thread(target=sender.sendall, args=(b"\x0b" + content + b"\x1c\r\x0bnext\x1c\r",))
    thread.start()
    connection = reading(receiver)
    large = connection.next()
    assert (large.is_too_large, large.content) == (True, content[: len(large.content)])
    assert len(large.content) <= 4096
    assert connection.next() == Frame(b"next")
    thread.join()


@pytest.mark.parametrize(
    ("sent", "why"),
    [(b"GET / HTTP/1.1\r\n", "NOT_MLLP"), (b"", "IDLE"), (b"\x0bhalf", "SLOW"), (b"\x0b" + b"x" * 70_000, "FLOOD")],
)
def test_what_never_ends_is_ended(pair: tuple[socket.socket, socket.socket], sent: bytes, why: str) -> None:
    """Other protocols, silence, a message that stops half way, and one that goes on for ever."""
    sender, receiver = pair
    thread = threading.Thread(target=sender.sendall, args=(sent,))
    thread.start()
    with pytest.raises(Ended) as fault:
        reading(receiver, message_s=0.5, idle_s=0.2).next()
    assert str(fault.value) == why
    receiver.close()
    thread.join()


def test_a_sender_that_goes_away_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    """In the middle of a message."""
    sender, receiver = pair
    sender.sendall(b"\x0bhalf")
    sender.close()
    with pytest.raises(Ended, match="CLOSED"):
        reading(receiver).next()
