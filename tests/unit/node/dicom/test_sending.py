"""Sending: every answer that a peer can give, and every way in which it can fail to give one."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.demo.series import DemoCase, make_case
from node.dicom.peer import Peer
from node.dicom.sending import SendResult, echo, send_files, verdict
from node.domain.identifiers import AeTitle
from node.domain.lifecycle import DeliveryState
from node.errors import Retryable

CT = "1.2.840.10008.5.1.4.1.1.2"
SEG = "1.2.840.10008.5.1.4.1.1.66.4"
STORED, LATER, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED

Handler = Callable[[Event], int]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> DemoCase:
    """The bundled pancreas case."""
    return make_case("pancreas", tmp_path_factory.mktemp("case"))


@contextmanager
def scp(answer: Handler, ct: str = JPEG2000Lossless, seg: str = ExplicitVRLittleEndian) -> Iterator[Peer]:
    """A peer that answers each C-STORE with ``answer`` and takes CT and SEG in one transfer syntax each."""
    ae = AE("ARCHIVE")
    ae.require_called_aet = True
    ae.network_timeout = None
    ae.add_supported_context("1.2.840.10008.1.1")
    ae.add_supported_context(CT, ct)
    ae.add_supported_context(SEG, seg)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, answer)])
    try:
        yield Peer(AeTitle("ARCHIVE"), "127.0.0.1", server.server_address[1])
    finally:
        server.shutdown()


def accept(_: Event) -> int:
    """Success."""
    return 0x0000


@pytest.mark.parametrize(
    ("status", "state", "word"),
    [
        (0x0000, STORED, ""),
        (0xB000, STORED, "changed"),
        (0xB006, STORED, "discarded"),
        (0xB007, STORED, "SOP class"),
        (0xA700, LATER, "resources"),
        (0xA7FF, LATER, "resources"),
        (0x0110, LATER, "process"),
        (0x0213, LATER, "limit"),
        (0xFE00, LATER, "cancel"),
        (0x0111, FAILED, "already"),
        (0x0122, FAILED, "does not support"),
        (0x0124, FAILED, "does not allow"),
        (0xA900, FAILED, "does not match"),
        (0xC000, FAILED, "cannot understand"),
        (0xC211, FAILED, "cannot understand"),
        (0x1234, FAILED, "0x1234"),
    ],
)
def test_each_status_means_stored_later_or_never(status: int, state: DeliveryState, word: str) -> None:
    """Every status of PS3.4 table B.2-1 and PS3.7 annex C says what happens next, with a sentence."""
    found, sentence = verdict(status)
    assert found is state
    assert word in sentence
    assert bool(sentence) is (status != 0)


def test_a_peers_status_and_sentence_come_back(case: DemoCase) -> None:
    """The result carries the status that the peer gave and what it means, for each file on its own."""
    answers = iter([0x0000, 0xB006, 0xA700, 0xC000])
    with scp(lambda _: next(answers)) as peer:
        results = send_files(case.ct_paths[:4], peer, "CELADON")
    assert [(result.status, result.state) for result in results] == [
        (0x0000, STORED),
        (0xB006, STORED),
        (0xA700, LATER),
        (0xC000, FAILED),
    ]
    assert [result.path for result in results] == list(case.ct_paths[:4])


def test_bytes_arrive_as_they_are(case: DemoCase) -> None:
    """The data set that arrives is the file's, byte for byte, in its own transfer syntax."""
    arrived: list[tuple[str, bytes]] = []

    def keep(event: Event) -> int:
        arrived.append((event.context.transfer_syntax, event.request.DataSet.getvalue()))
        return 0x0000

    with scp(keep) as peer:
        send_files([case.ct_paths[0], case.seg_path], peer, "CELADON")
    assert [syntax for syntax, _ in arrived] == [JPEG2000Lossless, ExplicitVRLittleEndian]
    assert case.ct_paths[0].read_bytes().endswith(arrived[0][1])
    assert case.seg_path.read_bytes().endswith(arrived[1][1])


def test_a_truncated_file_is_sent_as_it_is(tmp_path: Path, case: DemoCase) -> None:
    """A file that ends in the middle is sent to its last byte, so that the receiver can be tested with it."""
    cut = tmp_path / "cut.dcm"
    cut.write_bytes(case.ct_paths[0].read_bytes()[:50_001])
    arrived: list[bytes] = []

    def keep(event: Event) -> int:
        arrived.append(event.request.DataSet.getvalue())
        return 0xC000

    with scp(keep) as peer:
        (result,) = send_files([cut], peer, "CELADON")
    assert cut.read_bytes().endswith(arrived[0])
    assert len(arrived[0]) > 49_000
    assert result.state is FAILED


def test_a_syntax_that_is_not_accepted_fails_for_good(case: DemoCase) -> None:
    """A compressed object is not sent to a peer that refuses its transfer syntax; the others still are."""
    with scp(accept, ct=ExplicitVRLittleEndian) as peer:
        image, seg = send_files([case.ct_paths[0], case.seg_path], peer, "CELADON")
    assert (image.state, image.status) == (FAILED, None)
    assert "transfer syntax" in image.detail
    assert seg.is_stored


def test_a_peer_that_accepts_nothing_fails_for_good(case: DemoCase) -> None:
    """When no context at all is accepted there is no association, and still every file has its verdict."""
    with scp(accept, ct=ExplicitVRLittleEndian) as peer:
        results = send_files(case.ct_paths[:2], peer, "CELADON")
    assert {(result.state, result.status) for result in results} == {(FAILED, None)}


def test_an_uncompressed_object_is_rewritten_for_a_peer_of_the_default_syntax(case: DemoCase) -> None:
    """A peer that takes Implicit VR Little Endian alone still gets uncompressed objects."""
    arrived = []

    def keep(event: Event) -> int:
        arrived.append((event.context.transfer_syntax, event.dataset.PixelData))
        return 0x0000

    with scp(keep, seg=ImplicitVRLittleEndian) as peer:
        (result,) = send_files([case.seg_path], peer, "CELADON")
    assert result.is_stored
    assert arrived == [(ImplicitVRLittleEndian, dcmread(case.seg_path).PixelData)]


def test_a_peer_that_is_not_there_is_for_later(case: DemoCase) -> None:
    """A refused connection raises nothing: every file may be tried again, and the sentence names the peer."""
    results = send_files(case.ct_paths[:3], Peer(AeTitle("NOBODY"), "127.0.0.1", 1), "CELADON")
    assert {result.state for result in results} == {LATER}
    assert all("NOBODY@127.0.0.1:1" in result.detail for result in results)


def test_a_rejected_association_is_for_later_and_says_why(case: DemoCase) -> None:
    """A peer of another AE title rejects the association; an administrator can mend that, so it is tried again."""
    with scp(accept) as peer:
        (result,) = send_files([case.seg_path], Peer(AeTitle("OTHER"), peer.host, peer.port), "CELADON")
    assert result.state is LATER
    assert "does not answer to the AE title OTHER" in result.detail


def test_an_abort_costs_one_file(case: DemoCase) -> None:
    """When the peer aborts on a file, that one is for later and the rest goes over a new association."""

    def abort_on_victim(event: Event) -> int:
        if event.request.AffectedSOPInstanceUID == dcmread(case.ct_paths[1]).SOPInstanceUID:
            event.assoc.abort()
        return 0x0000

    with scp(abort_on_victim) as peer:
        results = send_files(case.ct_paths[:4], peer, "CELADON")
    assert [result.state for result in results] == [STORED, LATER, STORED, STORED]


def test_a_clock_that_is_set_ends_no_association(case: DemoCase, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that was suspended, or an NTP step: what is under way goes on as if nothing had been."""
    ahead_s = [0.0]
    now = time.time
    monkeypatch.setattr("pynetdicom.timer.time", SimpleNamespace(time=lambda: now() + ahead_s[0]))
    associations = []

    def take(event: Event) -> int:
        associations.append(event.assoc)
        return 0x0000

    def step_the_clock(_: SendResult) -> None:
        ahead_s[0] += 3600.0
        # Between two objects pynetdicom looks at its timers.
        threading.Event().wait(0.3)

    with scp(take) as peer:
        results = send_files(case.ct_paths[:4], peer, "CELADON", step_the_clock, timeout_s=5.0)
    assert [(one.state, one.status) for one in results] == [(STORED, 0x0000)] * 4
    assert len(set(associations)) == 1


def test_a_silent_peer_costs_one_time_out(case: DemoCase) -> None:
    """A peer that stops answering is waited for once, not once for each file."""
    asked: list[Event] = []
    over = threading.Event()

    def keep_silent(event: Event) -> int:
        asked.append(event)
        over.wait(60)
        return 0x0000

    with scp(keep_silent) as peer:
        results = send_files(case.ct_paths[:5], peer, "CELADON", timeout_s=1.0)
        over.set()
    assert {result.state for result in results} == {LATER}
    assert len(asked) == 1


def test_what_is_no_dicom_file_fails_for_good(tmp_path: Path, case: DemoCase) -> None:
    """A file that is missing or not DICOM fails on its own, and the others are sent."""
    text = tmp_path / "notes.txt"
    text.write_text("not an image", encoding="utf-8")
    with scp(accept) as peer:
        results = send_files([text, case.ct_paths[0], tmp_path / "absent.dcm"], peer, "CELADON")
    assert [result.state for result in results] == [FAILED, STORED, FAILED]


def test_progress_is_told_for_each_file(case: DemoCase) -> None:
    """The caller hears of each file as soon as its fate is known."""
    heard = []
    with scp(accept) as peer:
        results = send_files(case.ct_paths[:3], peer, "CELADON", on_progress=heard.append)
    assert tuple(heard) == results


def test_nothing_to_send_is_nothing_sent() -> None:
    """No files make no association."""
    assert send_files([], Peer(AeTitle("NOBODY"), "127.0.0.1", 1), "CELADON") == ()


def test_echo_says_whether_a_peer_is_there() -> None:
    """C-ECHO returns when the peer answers and raises Retryable when it does not."""
    with scp(accept) as peer:
        echo(peer, "CELADON")
    with pytest.raises(Retryable, match="ARCHIVE"):
        echo(peer, "CELADON", timeout_s=1)
