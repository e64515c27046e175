"""Storage commitment: what is asked, what is read of a report, and whose report counts."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import pytest
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.dicom.commitment import STORAGE_COMMITMENT, Desk, Reporter, read_report, reporters, request_commitment
from node.dicom.peer import Peer
from node.domain.identifiers import AeTitle, InstanceUID, JobId, Uid
from node.domain.reporting import Commitment, CommitmentReport, ReportVerdict
from node.errors import Retryable
from node.settings import PacsSettings
from tests.factories import SERIES
from tests.faults.archives import item_of

CT = "1.2.840.10008.5.1.4.1.1.2"
COMMITMENT = Commitment(Uid("2.25.7"), JobId.of(SERIES, 1), "main", ((CT, InstanceUID("2.25.1")),))


@dataclass
class Book:
    """A ledger that says what it is told to say."""

    verdict: ReportVerdict = ReportVerdict.TAKEN
    written: list[tuple[CommitmentReport, tuple[str, ...]]] = field(default_factory=list)

    def report(self, report: CommitmentReport, destinations: Collection[str], reporter: str) -> ReportVerdict:  # noqa: ARG002
        """Remember."""
        self.written.append((report, tuple(destinations)))
        return self.verdict


def told(*, failed: bool = True) -> Dataset:
    """A report of one stored and one missing object."""
    found = Dataset()
    found.TransactionUID = "2.25.7"
    found.ReferencedSOPSequence = [item_of((CT, "2.25.1"))]
    if failed:
        found.FailedSOPSequence = [item_of((CT, "2.25.2"), 0x0112)]
    return found


def encoded(found: Dataset, syntax: str) -> bytes:
    """The data set as it goes over the wire."""
    file = DicomBytesIO()
    file.is_little_endian, file.is_implicit_VR = True, syntax == ImplicitVRLittleEndian
    write_dataset(file, found)
    return file.getvalue()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_report_is_read(syntax: str) -> None:
    """What is committed to, and what is not, with the reason."""
    report = read_report(encoded(told(), syntax), syntax)
    assert report == CommitmentReport(Uid("2.25.7"), (InstanceUID("2.25.1"),), ((InstanceUID("2.25.2"), 0x0112),))


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00" * 7, bytes(range(256)) * 4, b"\x08\x00\x95\x11UI\xff\xff2.25"],
    ids=["empty", "crumb", "noise", "cut"],
)
def test_what_is_no_report_is_none(content: bytes) -> None:
    """Nothing is raised, whatever comes."""
    assert read_report(content, ExplicitVRLittleEndian) is None


def test_an_instance_that_is_no_uid_makes_it_none() -> None:
    """A report that cannot be believed in part is not believed."""
    found = told()
    found.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "../../etc"
    assert read_report(encoded(found, ExplicitVRLittleEndian), ExplicitVRLittleEndian) is None


@pytest.mark.parametrize(
    ("calling", "address", "names"),
    [
        ("MAIN", "127.0.0.1", ("main",)),
        ("MAIN", "192.0.2.9", ("main",)),
        ("MAIN", "192.0.2.1", ()),
        ("X", "127.0.0.1", ()),
    ],
)
def test_an_archive_reports_under_its_name_from_its_address(calling: str, address: str, names: tuple[str, ...]) -> None:
    """A title is a claim: it counts only from where that archive is."""
    book = Book()
    asked = reporters(
        {
            "main": PacsSettings(
                ae_title="MAIN", host="127.0.0.1", port=104, commitment=True, commitment_addresses=("192.0.2.9",)
            ),
            "other": PacsSettings(ae_title="X", host="127.0.0.1", port=104),
        }
    )
    desk = Desk(book, asked)
    assert desk.knows(calling, address) is bool(names)
    desk.take(calling, address, 1, CommitmentReport(Uid("2.25.7"), ()))
    assert [destinations for _, destinations in book.written] == [names]


@pytest.mark.parametrize(
    ("event", "report", "verdict", "status"),
    [
        (1, CommitmentReport(Uid("2.25.7"), ()), ReportVerdict.TAKEN, 0x0000),
        (2, CommitmentReport(Uid("2.25.7"), ()), ReportVerdict.KNOWN, 0x0000),
        (1, CommitmentReport(Uid("2.25.7"), ()), ReportVerdict.UNKNOWN, 0x0115),
        (1, None, ReportVerdict.TAKEN, 0x0115),
        (3, CommitmentReport(Uid("2.25.7"), ()), ReportVerdict.TAKEN, 0x0113),
        (None, CommitmentReport(Uid("2.25.7"), ()), ReportVerdict.TAKEN, 0x0113),
    ],
)
def test_every_report_has_a_status(
    event: int | None, report: CommitmentReport | None, verdict: ReportVerdict, status: int
) -> None:
    """Success is said of what is written down, and of what was before."""
    desk = Desk(Book(verdict), {"main": Reporter(AeTitle("MAIN"), "127.0.0.1")})
    assert desk.take("MAIN", "127.0.0.1", event, report) == status


@dataclass
class Scp:
    """An archive that answers requests with one status, and reports on the same association when told to."""

    status: int = 0x0000
    asked: list[Dataset] = field(default_factory=list)


@pytest.fixture
def scp() -> Iterator[tuple[Scp, Peer]]:
    """A running archive."""
    told_to = Scp()

    def asked(event: Event) -> tuple[int, None]:
        told_to.asked.append(event.action_information)
        return told_to.status, None

    ae = AE("MAIN")
    ae.add_supported_context(STORAGE_COMMITMENT)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_ACTION, asked)])
    yield told_to, Peer(AeTitle("MAIN"), "127.0.0.1", server.server_address[1])
    server.shutdown()


def test_what_is_asked_names_transaction_and_objects(scp: tuple[Scp, Peer]) -> None:
    """As PS3.4 table J.3-2 has it."""
    archive, peer = scp
    assert not request_commitment(peer, "CELADON", COMMITMENT, lambda *_: 0, timeout_s=5)
    (asked,) = archive.asked
    assert asked.TransactionUID == "2.25.7"
    (item,) = asked.ReferencedSOPSequence
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (CT, "2.25.1")


def test_a_request_that_is_not_taken_is_made_again(scp: tuple[Scp, Peer]) -> None:
    """With the archive's status in the sentence."""
    archive, peer = scp
    archive.status = 0x0110
    with pytest.raises(Retryable, match="0x0110"):
        request_commitment(peer, "CELADON", COMMITMENT, lambda *_: 0, timeout_s=5)


def test_an_archive_that_is_away_is_asked_again() -> None:
    """As for any other request."""
    with pytest.raises(Retryable):
        request_commitment(Peer(AeTitle("MAIN"), "127.0.0.1", 1), "CELADON", COMMITMENT, lambda *_: 0, timeout_s=1)
