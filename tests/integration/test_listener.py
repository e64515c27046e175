"""The listener as a sender sees it: a real association, a real inbox on SQLite, and a status for everything."""

import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association

from node.dicom.commitment import Desk, Reporter
from node.dicom.completion import CompletionWatch
from node.dicom.listener import Listener
from node.dicom.peer import Peer
from node.dicom.reading import same_content
from node.dicom.sending import echo, send_files
from node.domain.audit import AuditAction, AuditEvent
from node.domain.identifiers import AeTitle, SeriesUID
from node.domain.intake import IntakeVerdict, ReceivedInstance
from node.domain.lifecycle import JobState
from node.domain.reasons import ReasonCode
from node.errors import Retryable
from node.settings import DicomSettings, PeerSettings
from node.store import session
from node.store.audit import AuditTrail
from node.store.commitments import Commitments
from node.store.folder_blobs import FolderBlobs
from node.store.inbox import SqlInbox
from node.store.jobs import JobStore
from node.store.session import Database
from tests.factories import SERIES, as_file, ct_slice, ct_slices, write
from tests.raw_peer import RawPeer, associate_rq

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # these headers are odd on purpose

ME = "SCANNER"
CALLING_AE_NOT_RECOGNIZED, CALLED_AE_NOT_RECOGNIZED = (1, 1, 3), (1, 1, 7)
REAL = files("node.demo") / "data" / "ct" / "004.dcm"
BUSY_TIMEOUT_S = 0.3


@dataclass
class Node:
    """A listener with everything behind it, and how to reach it."""

    listener: Listener
    inbox: SqlInbox
    jobs: JobStore
    trail: AuditTrail
    folder: Path

    @property
    def peer(self) -> Peer:
        """The node as a sender calls it."""
        return Peer(AeTitle("CELADON"), "127.0.0.1", self.listener.port)

    @property
    def database(self) -> Path:
        """The database file."""
        return self.folder / "celadon.db"

    def count(self, table: str) -> int:
        """How many rows a table has, seen from outside the program."""
        with sqlite3.connect(self.database) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 — our own names

    def blobs(self) -> list[bytes]:
        """The stored files."""
        return [path.read_bytes() for path in sorted((self.folder / "blobs").rglob("*")) if path.is_file()]

    def is_untouched(self) -> bool:
        """Whether nothing of an object is here: no row, and no half-written file."""
        rows = [self.count(table) for table in ("instances", "series", "jobs", "set_aside")]
        parts = list((self.folder / "blobs").rglob("*.part"))
        return not any(rows) and not parts

    def refusals(self) -> list[AuditEvent]:
        """What the audit trail says was refused."""
        return [event for event in self.trail.events() if event.action is AuditAction.INSTANCE_REFUSED]


StartNode = Callable[..., Node]


@pytest.fixture(scope="module")
def stopping() -> Iterator[list[threading.Thread]]:
    """Listeners that are being stopped while the next test runs: their associations may take a moment."""
    threads: list[threading.Thread] = []
    yield threads
    for thread in threads:
        thread.join()


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopping: list[threading.Thread]) -> Iterator[StartNode]:
    """``start(peers=…, min_free_bytes=…)`` starts a node on a free port."""
    monkeypatch.setattr(session, "_BUSY_TIMEOUT_S", BUSY_TIMEOUT_S)
    listeners = []

    def run(
        peers: tuple[PeerSettings, ...] = (),
        min_free_bytes: int = 0,
        inbox: type[SqlInbox] = SqlInbox,
        reporter: Reporter | None = None,
    ) -> Node:
        database = Database(f"sqlite:///{tmp_path / 'celadon.db'}")
        database.upgrade()
        made = inbox(database, FolderBlobs(tmp_path / "blobs", min_free_bytes=min_free_bytes), same_content)
        jobs, trail = JobStore(database), AuditTrail(database)
        watch = CompletionWatch(jobs, lambda uid: made.series(uid).instances, quiet_min_s=0.2, quiet_max_s=5.0)
        desk = Desk(Commitments(database), {"archive": reporter}) if reporter else None
        listener = Listener(DicomSettings(port=0, peers=peers), made, watch, trail, desk=desk)
        listener.start()
        listeners.append(listener)
        return Node(listener, made, jobs, trail, tmp_path)

    yield run
    for listener in listeners:
        stopping.append(threading.Thread(target=listener.stop, args=(1.0,)))
        stopping[-1].start()


@pytest.fixture
def node(start: StartNode) -> Node:
    """A node that lets anybody on loopback store."""
    return start()


def associate(node: Node, syntax: str = ExplicitVRLittleEndian, calling: str = ME) -> Association:
    """An association that proposes CT in one transfer syntax."""
    ae = AE(calling)
    ae.add_requested_context(CTImageStorage, syntax)
    return ae.associate("127.0.0.1", node.listener.port, ae_title="CELADON")


def rejection(node: Node, calling: str = ME, called: str = "CELADON") -> tuple[int, ...]:
    """Result, source and reason of the A-ASSOCIATE-RJ that a request gets (PS3.8 table 9-21).

    Read off the wire: under load pynetdicom's requestor sometimes reports a rejection as an abort.
    """
    with RawPeer(node.listener.port) as peer:
        peer.send(associate_rq(called=called, calling=calling))
        return tuple(peer.expect(3)[1][1:])


def store(node: Node, *images: Dataset, calling: str = ME) -> list[Dataset]:
    """The statuses that a sender gets for ``images`` over one association."""
    association = associate(node, calling=calling)
    assert association.is_established
    answers = [association.send_c_store(image) for image in images]
    association.release()
    return answers


def store_raw(node: Node, image: Dataset, payload: bytes) -> Dataset:
    """The status for a request that announces ``image`` and sends ``payload`` as its data set."""
    header = as_file(image).removesuffix(data_set(image))
    path = node.folder / "raw.dcm"
    path.write_bytes(header + payload)
    association = associate(node)
    # Sent as it stands: node.dicom.sending has switched pynetdicom to that.
    answer = association.send_c_store(path)
    association.release()
    return answer


def data_set(image: Dataset) -> bytes:
    """The encoded data set without preamble and file meta information (PS3.10 section 7.1)."""
    content = as_file(image)
    return content[144 + int.from_bytes(content[140:144], "little") :]


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    """Whether ``condition`` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_it_answers_c_echo(node: Node) -> None:
    """Verification succeeds (PS3.4 annex A)."""
    echo(node.peer, ME)


def test_what_is_answered_with_success_is_stored(node: Node) -> None:
    """When the status arrives, the row, its job, its audit event and the bytes are there."""
    image = ct_slice()
    (answer,) = store(node, image)
    assert answer.Status == 0x0000
    assert (node.count("instances"), node.count("series"), node.count("jobs")) == (1, 1, 1)
    (content,) = node.blobs()
    assert content[:132] == bytes(128) + b"DICM"
    assert content.endswith(data_set(image))
    assert [event.action for event in node.trail.events()] == [AuditAction.INSTANCE_RECEIVED]


def test_a_compressed_image_is_stored_as_it_was_sent(node: Node) -> None:
    """The code stream of the real slices is kept byte for byte, in its transfer syntax."""
    path = Path(str(REAL))
    (result,) = send_files([path], node.peer, ME)
    assert result.status == 0x0000
    (content,) = node.blobs()
    image = dcmread(path)
    assert image.PixelData in content
    (held,) = node.inbox.series(SeriesUID(image.SeriesInstanceUID)).instances
    assert held.transfer_syntax_uid == image.file_meta.TransferSyntaxUID


def test_a_series_is_complete_soon_after_the_association_ends(node: Node) -> None:
    """Released, evenly spaced and quiet: the job waits for a worker within about a second."""
    assert [answer.Status for answer in store(node, *ct_slices(5))] == [0] * 5
    assert wait_until(lambda: node.jobs.counts()[JobState.WAITING] == 1, 3.0)


def test_a_lost_connection_ends_the_association_for_the_series(node: Node) -> None:
    """A sender that vanishes is not waited for longer than one that says goodbye."""
    association = associate(node)
    for image in ct_slices(5):
        association.send_c_store(image)
    association.dul.socket.close()
    assert wait_until(lambda: node.jobs.counts()[JobState.WAITING] == 1, 3.0)


def test_the_same_object_again_is_a_success_without_a_second_copy(node: Node) -> None:
    """Senders repeat themselves: the second time nothing is added, and nothing is wrong."""
    image = ct_slice()
    assert [answer.Status for answer in store(node, image, image)] == [0x0000, 0x0000]
    assert (node.count("instances"), node.count("set_aside")) == (1, 0)


def test_the_same_object_in_another_encoding_is_a_success(node: Node) -> None:
    """Sent with and without value representations, it is one object."""
    image = ct_slice()
    association = associate(node, ImplicitVRLittleEndian)
    implicit = ct_slice()
    implicit.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    assert store(node, image)[0].Status == 0x0000
    assert association.send_c_store(implicit).Status == 0x0000
    association.release()
    assert (node.count("instances"), node.count("set_aside")) == (1, 0)


def test_another_object_under_the_same_uid_is_set_aside_and_said(node: Node) -> None:
    """The first is kept, the second is answered 0x0111 with the reason, and both are on the audit trail."""
    first, second = store(node, ct_slice(), ct_slice(PatientID="SOMEBODY-ELSE"))
    assert (first.Status, second.Status) == (0x0000, 0x0111)
    assert second.ErrorComment == "CONTENT_CONFLICT"
    assert (node.count("instances"), node.count("set_aside")) == (1, 1)
    assert node.inbox.series(SERIES).patient.patient_id == "PAT-1"
    assert node.trail.events()[-1].reason is ReasonCode.CONTENT_CONFLICT


def test_a_truncated_object_is_refused_with_the_reason(node: Node) -> None:
    """0xC000, the reason in the Error Comment and on the audit trail, and nothing stored."""
    image = ct_slice()
    answer = store_raw(node, image, data_set(image)[:-100])
    assert (answer.Status, answer.ErrorComment) == (0xC000, "NOT_PARSEABLE")
    assert node.is_untouched()
    (event,) = node.refusals()
    assert (event.reason, event.actor) == (ReasonCode.NOT_PARSEABLE, f"peer {ME}")
    assert event.details["address"] == "127.0.0.1"


def test_an_object_that_was_not_announced_is_refused(node: Node) -> None:
    """Data Set does not match (0xA900) when the UIDs of request and data set differ."""
    answer = store_raw(node, ct_slice(1), data_set(ct_slice(0)))
    assert (answer.Status, answer.ErrorComment) == (0xA900, "UID_MISMATCH")
    assert node.is_untouched()


def test_the_listener_takes_the_next_object_after_a_bad_one(node: Node) -> None:
    """A refusal harms nobody else."""
    image = ct_slice()
    store_raw(node, image, b"\xff" * 1000)
    assert store(node, image)[0].Status == 0x0000


def test_a_refusal_that_cannot_be_recorded_is_still_a_refusal(node: Node) -> None:
    """The sender is told the truth about its object although the audit trail is out of reach."""
    image = ct_slice()
    with sqlite3.connect(node.database) as locker:
        locker.execute("BEGIN IMMEDIATE")
        answer = store_raw(node, image, data_set(image)[:-100])
        locker.rollback()
    assert answer.Status == 0xC000


PEERS = (
    PeerSettings(ae_title="SCANNER", address="127.0.0.1"),
    PeerSettings(ae_title="SCANNER", address="192.0.2.1"),
    PeerSettings(ae_title="ARCHIVE", address="192.0.2.7"),
)


def test_a_listed_peer_may_store(start: StartNode) -> None:
    """A peer may have several addresses; each of them counts."""
    assert store(start(peers=PEERS), ct_slice())[0].Status == 0x0000


def test_an_unknown_calling_ae_is_rejected(start: StartNode) -> None:
    """With peers configured, others get no association."""
    assert rejection(start(peers=PEERS), calling="STRANGER") == CALLING_AE_NOT_RECOGNIZED


def test_a_known_ae_title_from_another_address_is_refused(start: StartNode) -> None:
    """An AE title is a claim: it counts only from the address that belongs to it."""
    node = start(peers=PEERS)
    for _ in range(3):
        assert rejection(node, calling="ARCHIVE") == CALLING_AE_NOT_RECOGNIZED
    told = [event for event in node.trail.events() if event.action is AuditAction.ASSOCIATION_REFUSED]
    assert [event.reason for event in told] == [ReasonCode.PEER_NOT_ALLOWED]  # once, however often it knocks


def test_an_archive_that_may_only_report_stores_nothing_and_leaves_a_trace(start: StartNode) -> None:
    """It is associated with for its reports of commitment; an object is refused as any other, in log and trail."""
    node = start(peers=PEERS, reporter=Reporter(AeTitle("REPORTER"), "127.0.0.1"))
    (answer,) = store(node, ct_slice(), calling="REPORTER")
    assert answer.Status == 0x0124
    assert node.count("instances") == 0
    assert [event.reason for event in node.refusals()] == [ReasonCode.PEER_NOT_ALLOWED]


def test_a_wrong_called_ae_is_rejected(node: Node) -> None:
    """Who calls somebody else gets no association."""
    assert rejection(node, called="SOMEBODY") == CALLED_AE_NOT_RECOGNIZED


def test_deflated_transfer_syntax_is_not_negotiated(node: Node) -> None:
    """Its size before inflation says nothing about its size after."""
    association = associate(node, DeflatedExplicitVRLittleEndian)
    assert not association.accepted_contexts


def test_below_the_watermark_nothing_is_taken(start: StartNode) -> None:
    """Out of Resources while the disk is nearly full: senders try again, and nothing is half-written."""
    node = start(min_free_bytes=2**62)
    (answer,) = store(node, ct_slice())
    assert (answer.Status, answer.ErrorComment) == (0xA700, "DISK_FULL")
    assert node.is_untouched()
    assert node.blobs() == []


def test_a_locked_database_is_a_failure_that_passes(node: Node) -> None:
    """Processing Failure while another process holds the lock; the same object is taken afterwards."""
    with sqlite3.connect(node.database) as locker:
        locker.execute("BEGIN IMMEDIATE")
        (answer,) = store(node, ct_slice())
        locker.rollback()
    assert answer.Status == 0x0110
    assert "try again" in answer.ErrorComment
    assert node.is_untouched()
    assert store(node, ct_slice())[0].Status == 0x0000


def test_a_database_without_its_tables_is_a_failure_that_passes(node: Node) -> None:
    """A database that lost its schema answers like one that is locked."""
    with sqlite3.connect(node.database) as connection:
        connection.execute("ALTER TABLE instances RENAME TO elsewhere")
    (answer,) = store(node, ct_slice())
    assert answer.Status == 0x0110
    with sqlite3.connect(node.database) as connection:
        connection.execute("ALTER TABLE elsewhere RENAME TO instances")
    assert store(node, ct_slice())[0].Status == 0x0000


def test_a_disk_that_fails_is_out_of_resources(node: Node) -> None:
    """When the file cannot be written the sender keeps the object and tries again."""
    (node.folder / "blobs").rename(node.folder / "away")
    (node.folder / "blobs").write_bytes(b"a file where the folder was")
    (answer,) = store(node, ct_slice())
    assert answer.Status == 0xA700
    assert node.count("instances") == 0
    (node.folder / "blobs").unlink()
    (node.folder / "away").rename(node.folder / "blobs")
    assert store(node, ct_slice())[0].Status == 0x0000


class _Buggy(SqlInbox):
    def accept(self, received: ReceivedInstance) -> IntakeVerdict:
        raise ZeroDivisionError(received.instance.patient.name)


def test_a_bug_never_answers_success(start: StartNode) -> None:
    """What nobody foresaw is a failure that senders repeat; its message, which may name a patient, goes nowhere."""
    node = start(inbox=_Buggy)
    (answer,) = store(node, ct_slice())
    assert (answer.Status, answer.ErrorComment) == (0x0110, "INTERNAL")
    (event,) = node.refusals()
    assert (event.reason, event.details["detail"]) == (ReasonCode.INTERNAL, "ZeroDivisionError")


class _Unreadable(SqlInbox):
    def series(self, series_uid: SeriesUID) -> object:  # type: ignore[override]
        raise Retryable(f"database: cannot read {series_uid} now")


def test_what_is_stored_is_a_success_although_it_cannot_be_watched_yet(start: StartNode) -> None:
    """Once it is durable the sender is told so, whatever the next read of the database does."""
    node = start(inbox=_Unreadable)
    assert store(node, ct_slice())[0].Status == 0x0000
    assert node.count("instances") == 1


class _LostInTheCommit(SqlInbox):
    def accept(self, received: ReceivedInstance) -> IntakeVerdict:
        verdict = super().accept(received)
        if verdict is IntakeVerdict.STORED:
            raise Retryable("database: the connection was lost in the commit")
        return verdict


def test_a_series_whose_first_answers_were_lost_is_complete_once_it_is_sent_again(start: StartNode) -> None:
    """Stored, and said to have failed: the second attempt is a duplicate, and is watched all the same."""
    node = start(inbox=_LostInTheCommit)
    series = [ct_slice(index) for index in range(3)]
    assert [answer.Status for answer in store(node, *series)] == [0x0110] * 3
    assert [answer.Status for answer in store(node, *series)] == [0x0000] * 3
    assert wait_until(lambda: node.jobs.counts()[JobState.WAITING] == 1)


class _Slow(SqlInbox):
    entered = threading.Event()

    def accept(self, received: ReceivedInstance) -> IntakeVerdict:
        self.entered.set()
        time.sleep(0.5)
        return super().accept(received)


def test_stopping_lets_a_running_store_finish(start: StartNode) -> None:
    """An object in flight when the node is told to stop is stored and answered; new callers find nobody."""
    node = start(inbox=_Slow)
    answers: list[Dataset] = []
    sender = threading.Thread(target=lambda: answers.extend(store(node, ct_slice())))
    port = node.listener.port
    sender.start()
    assert _Slow.entered.wait(30)
    node.listener.stop()
    sender.join(30)
    assert [answer.Status for answer in answers] == [0x0000]
    assert node.count("instances") == 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()


def test_stopping_ends_who_does_not_leave(node: Node) -> None:
    """After the grace period an idle association is aborted, so that the node does stop."""
    association = associate(node)
    started = time.monotonic()
    node.listener.stop(grace_s=0.2)
    assert time.monotonic() - started < 30, "left alone it would have stayed a minute"
    assert wait_until(lambda: association.is_aborted, 30)


def test_many_senders_at_once_lose_nothing(node: Node, tmp_path: Path) -> None:
    """Three associations that bring one series between them: every slice is stored once, in one job."""
    paths = write(ct_slices(9), tmp_path / "slices")
    threads = [
        threading.Thread(target=send_files, args=(paths[number::3], node.peer, f"SENDER{number}"))
        for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert (node.count("instances"), node.count("series"), node.count("jobs")) == (9, 1, 1)
    assert len(node.inbox.series(SERIES).instances) == 9
