"""STOW-RS: what a server says of each object, and what it says of itself."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from node.destinations.stow import StowDestination
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery
from node.settings import StowSettings
from tests.factories import SERIES

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED
UIDS = ("2.25.1", "2.25.2", "2.25.3")


@dataclass
class Server:
    """Answers as told, and remembers what it was sent."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    parts: list[bytes] = field(default_factory=list)
    port: int = 0
    chokes_on: bytes | None = None
    """A part for which the whole request is refused."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server."""
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            told.headers = dict(self.headers.items())
            mail = message_from_bytes(b"Content-Type: " + self.headers["Content-Type"].encode() + b"\r\n\r\n" + content)
            told.parts = [part.get_payload(decode=True) for part in mail.get_payload()]
            self.send_response(400 if told.chokes_on in told.parts else told.status)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        def log_message(self, *_: object) -> None:
            return

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = running.server_address[1]
    thread = threading.Thread(target=running.serve_forever, args=(0.02,))
    thread.start()
    yield told
    running.shutdown()
    thread.join()
    running.server_close()


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Delivery, ...]:
    """Three objects."""
    made = []
    for number, uid in enumerate(UIDS):
        path = tmp_path / uid
        path.write_bytes(f"content of {uid}".encode())
        made.append(
            Delivery(number, JobId.of(SERIES, 1), InstanceUID(uid), "1.2", "web", path, 1, DeliveryState.SENDING)
        )
    return tuple(made)


def destination(port: int, **settings: Any) -> StowDestination:
    """The server on ``port``."""
    return StowDestination("web", StowSettings(stow_url=f"http://127.0.0.1:{port}/studies", timeout_s=5, **settings))


def answer(
    stored: tuple[str, ...], failed: dict[str, int] | None = None, warned: dict[str, int] | None = None
) -> bytes:
    """A response document (PS3.18 table 10.5.3-2)."""

    def item(uid: str, tag: str, reason: int | None) -> dict[str, Any]:
        found: dict[str, Any] = {"00081155": {"vr": "UI", "Value": [uid]}}
        return found | ({tag: {"vr": "US", "Value": [reason]}} if reason is not None else {})

    document: dict[str, Any] = {
        "00081199": {"vr": "SQ", "Value": [item(uid, "00081196", (warned or {}).get(uid)) for uid in stored]}
    }
    if failed:
        document["00081198"] = {"vr": "SQ", "Value": [item(uid, "00081197", reason) for uid, reason in failed.items()]}
    return json.dumps(document).encode()


def states(server: Server, objects: tuple[Delivery, ...]) -> list[DeliveryState]:
    """What becomes of the objects."""
    return [one.state for one in destination(server.port).deliver(objects)]


def test_all_objects_go_with_one_request_as_they_are(server: Server, objects: tuple[Delivery, ...]) -> None:
    """One part a file; the length is said beforehand."""
    server.body = answer(UIDS)
    assert states(server, objects) == [STORED] * 3
    assert server.parts == [one.path.read_bytes() for one in objects]
    assert server.headers["Accept"] == "application/dicom+json"


def test_a_partial_success_is_told_object_by_object(server: Server, objects: tuple[Delivery, ...]) -> None:
    """Stored with a warning, to be tried again, refused for good."""
    server.status = 202
    server.body = answer(UIDS[:1], {UIDS[1]: 0xA700, UIDS[2]: 0x0122}, {UIDS[0]: 0xB000})
    outcomes = destination(server.port).deliver(objects)
    assert [one.state for one in outcomes] == [STORED, PENDING, FAILED]
    assert outcomes[0].detail == "the peer changed data elements"


def test_an_object_that_the_answer_passes_over_is_sent_again(server: Server, objects: tuple[Delivery, ...]) -> None:
    """Nobody has said that it is stored."""
    server.status, server.body = 202, answer(UIDS[:2])
    assert states(server, objects) == [STORED, STORED, PENDING]


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, STORED), (202, FAILED), (409, FAILED), (400, FAILED), (413, FAILED), (401, PENDING), (403, PENDING),
     (404, PENDING), (429, PENDING), (500, PENDING), (503, PENDING)],
)  # fmt: skip
def test_without_a_document_the_status_speaks(
    server: Server, objects: tuple[Delivery, ...], status: int, state: DeliveryState
) -> None:
    """What is said against the objects is for good; what is the server's own trouble passes."""
    server.status, server.body = status, b"<html>"
    assert states(server, objects) == [state] * 3


def test_one_object_that_a_server_chokes_on_keeps_no_other_back(server: Server, objects: tuple[Delivery, ...]) -> None:
    """A request that was refused as a whole is made again object by object."""
    server.chokes_on = objects[1].path.read_bytes()
    assert states(server, objects) == [STORED, FAILED, STORED]


def test_a_server_that_is_away_is_tried_again(server: Server, objects: tuple[Delivery, ...]) -> None:
    """Nothing is raised."""
    assert [one.state for one in destination(1).deliver(objects)] == [PENDING] * 3


@pytest.mark.parametrize(
    ("settings", "header"),
    [({"token": "secret"}, "Bearer secret"), ({"user": "me", "password": "secret"}, "Basic bWU6c2VjcmV0")],
)
def test_it_says_who_it_is(
    server: Server, objects: tuple[Delivery, ...], settings: dict[str, str], header: str
) -> None:
    """As the settings have it, and in no printed form of them."""
    server.body = answer(UIDS)
    destination(server.port, **settings).deliver(objects)
    assert server.headers["Authorization"] == header
    assert "secret" not in repr(StowSettings(stow_url="https://x/studies", **settings))


@pytest.mark.parametrize("url", ["http://archive.example/studies", "ftp://127.0.0.1/studies"])
def test_results_do_not_go_over_an_open_wire(url: str) -> None:
    """Plain http is for loopback."""
    with pytest.raises(ValueError, match="https"):
        StowSettings(stow_url=url)
