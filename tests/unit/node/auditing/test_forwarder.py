"""The forwarder: whatever happens to receiver and node, every message arrives."""

import base64
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.auditing import forwarder as forwarder_module
from node.auditing.forwarder import Forwarder
from node.clinical.entered import entered
from node.domain.audit import AuditAction, AuditOutcome
from node.domain.clinical_intake import Intake
from node.domain.imaging import PatientIdentity
from node.settings import AuditSettings, ClientTlsSettings, Settings, SyslogSettings
from node.store.audit import AuditTrail
from node.store.clinical import ClinicalStore
from node.store.forwarding import Forwarding
from node.store.session import Database
from tests import factories
from tests.syslog_receivers import SmallReceiver, certificates, free_port, rsyslog

KEY = b"k" * 32


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates."""
    return certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def database(tmp_path: Path, migrated: Path) -> Iterator[Database]:
    """A migrated database whose trail is chained."""
    opened = Database(f"sqlite:///{shutil.copy(migrated, tmp_path / 'celadon.db')}", KEY)
    yield opened
    opened.close()


def made(keys: Path, database: Database, port: int, folder: Path) -> Forwarder:
    """A forwarder to a port of loopback."""
    tls = ClientTlsSettings(ca=keys / "ca.pem", certificate=keys / "peer.pem", key=keys / "peer.key")
    repository = SyslogSettings(host="localhost", port=port, tls=tls, timeout_s=5)
    return Forwarder(Settings(data_dir=folder, audit=AuditSettings(syslog=repository)), repository, database)


def tell(database: Database, first: int, last: int) -> list[str]:
    """Rows of the trail that are told of, each with a mark of its own, among others that are not."""
    trail = AuditTrail(database)
    marks = [f"mark {number}" for number in range(first, last)]
    for mark in marks:
        trail.record(
            factories.event(AuditAction.ACCESS_REFUSED, outcome=AuditOutcome.REFUSED, details={"what": mark}),
            factories.event(AuditAction.INSTANCE_RECEIVED),
        )
    return marks


def missing(marks: list[str], arrived: bytes) -> list[str]:
    """The marks that no message has."""
    return [mark for mark in marks if base64.b64encode(mark.encode()) + b'"' not in arrived]


@dataclass(frozen=True)
class Outage:
    """A forwarder that has begun and whose repository is not there."""

    forwarder: Forwarder
    port: int
    marks: list[str]
    """Of what was written meanwhile, none of which has arrived."""


@pytest.fixture
def outage(keys: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Outage]:
    """``outage(60)``: sixty rows that could not be sent, by a forwarder that does not wait before it tries again."""
    monkeypatch.setattr(forwarder_module, "_LONGEST_WAIT_S", 0.0)

    def begin(rows: int) -> Outage:
        port = free_port()
        one = made(keys, database, port, tmp_path)
        one.begin()
        marks = tell(database, 0, rows)
        assert not one.work()
        return Outage(one, port, marks)

    return begin


def test_what_was_written_before_anybody_asked_is_not_sent(keys: Path, database: Database, tmp_path: Path) -> None:
    """A repository begins with today."""
    early = tell(database, 0, 3)
    receiver = SmallReceiver(keys)
    one = made(keys, database, receiver.port, tmp_path)
    one.begin()
    late = tell(database, 3, 5)
    one.begin()
    assert one.work()
    assert not one.work()
    receiver.stop()
    arrived = b"".join(receiver.messages)
    assert (missing(early, arrived), missing(late, arrived)) == (early, [])
    assert len(receiver.messages) == 2


def test_nothing_is_lost_while_the_receiver_is_down_breaks_or_is_another(
    keys: Path, database: Database, tmp_path: Path, outage: Callable[[int], Outage]
) -> None:
    """Down, up but breaking in the middle, up: each message is there, and those that came twice are the same."""
    down = outage(150)
    one, port = down.forwarder, down.port
    receiver = SmallReceiver(keys, port, breaks_after=20_000)
    assert not one.work()
    marks = down.marks + tell(database, 150, 260)
    while one.work():
        pass
    receiver.stop()
    marks += tell(database, 260, 270)
    assert not one.work()
    again = made(keys, database, port, tmp_path)
    other = SmallReceiver(keys, port)
    again.begin()
    again.finish(10)
    other.stop()
    assert missing(marks, b"".join(receiver.messages + other.messages)) == []
    assert Forwarding(database).waiting(f"localhost:{port}") == 0


def test_an_outage_may_last_for_weeks(keys: Path, database: Database, outage: Callable[[int], Outage]) -> None:
    """The wait has an end however often it has failed, and what could not be sent is sent."""
    down = outage(3)
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE audit_forwarding SET attempts = 100000")
    assert not down.forwarder.work()
    receiver = SmallReceiver(keys, down.port)
    assert down.forwarder.work()
    receiver.stop()
    assert missing(down.marks, b"".join(receiver.messages)) == []


def test_a_mistake_of_ours_does_not_end_the_thread(
    keys: Path, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told, and the next round goes on."""
    monkeypatch.setattr(forwarder_module, "_EVERY_S", 0.01)
    rounds, went_on = [0], threading.Event()
    one = made(keys, database, free_port(), tmp_path)

    def work() -> bool:
        rounds[0] += 1
        if rounds[0] == 1:
            raise ValueError("Canary^Patient")
        went_on.set()
        return False

    monkeypatch.setattr(one, "work", work)
    one.start()
    assert went_on.wait(30)
    one.finish(10)


def test_two_nodes_over_one_database_take_turns(keys: Path, database: Database, tmp_path: Path) -> None:
    """One sends, the other stands by: nothing comes twice."""
    receiver = SmallReceiver(keys)
    one, other = (made(keys, database, receiver.port, tmp_path) for _ in range(2))
    other._owner = "another machine"
    one.begin()
    marks = tell(database, 0, 120)
    assert one.work()
    assert not other.work()
    one.finish(10)
    tell(database, 120, 121)
    assert other.work()
    receiver.stop()
    assert missing(marks, b"".join(receiver.messages)) == []
    assert len(receiver.messages) == 121


def test_a_value_that_somebody_entered_is_told_with_its_patient(keys: Path, database: Database, tmp_path: Path) -> None:
    """Patient Record, with who it is of and who entered it, neither of which the trail looks up for others."""
    receiver = SmallReceiver(keys)
    one = made(keys, database, receiver.port, tmp_path)
    one.begin()
    whose = PatientIdentity("PAT-7", "HOSPITAL", "Müller^Jörg")
    now = factories.event().at
    value = entered(whose, "ca19_9", "37", "U/mL", "reader", now, None)
    ClinicalStore(database).accept(Intake((value,)))
    assert one.work()
    receiver.stop()
    (told,) = receiver.messages
    assert b"DICOM+RFC3881" in told
    assert b'csd-code="110110"' in told
    assert b'UserID="reader"' in told
    assert b'ParticipantObjectID="PAT-7^^^HOSPITAL"' in told
    assert "Müller^Jörg".encode() in told


def test_a_thread_sends_what_comes_while_the_node_runs(keys: Path, database: Database, tmp_path: Path) -> None:
    """And what is written last is sent when it stops."""
    receiver = SmallReceiver(keys)
    one = made(keys, database, receiver.port, tmp_path)
    one.begin()
    one.start()
    marks = tell(database, 0, 5)
    deadline = time.monotonic() + 60
    while missing(marks, b"".join(receiver.messages)) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    marks += tell(database, 5, 6)
    one.finish(20)
    receiver.stop()
    assert missing(marks, b"".join(receiver.messages)) == []


def test_rsyslog_has_every_message_although_it_was_stopped_in_between(
    keys: Path, database: Database, tmp_path: Path, outage: Callable[[int], Outage]
) -> None:
    """A receiver that others wrote: down at first, up, down, and up again."""
    down = outage(60)
    one = down.forwarder
    with rsyslog(tmp_path / "rsyslog", keys, down.port) as output:
        assert one.work()
    marks = down.marks + tell(database, 60, 130)
    assert not one.work()
    with rsyslog(tmp_path / "rsyslog", keys, down.port) as output:
        while one.work():
            pass
    arrived = output.read_bytes()
    assert missing(marks, arrived) == []
    assert arrived.count(b"DICOM+RFC3881") == len(marks)
    assert b"<85>1 " in arrived
