"""The project's own small PACS, and the queries that Celadon asks of any PACS."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.demo.series import DemoCase, make_case
from node.dicom.contexts import accepted_contexts
from node.dicom.peer import Peer
from node.dicom.query import fetch, find_instances, find_series, find_studies
from node.dicom.sending import echo, send_files
from node.dicom.small_pacs import SmallPacs
from node.domain.identifiers import AeTitle
from node.errors import Retryable

ME = "TESTER"


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> DemoCase:
    """The bundled pancreas case."""
    return make_case("pancreas", tmp_path_factory.mktemp("case"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> DemoCase:
    """Another patient."""
    return make_case("stomach", tmp_path_factory.mktemp("other"))


@pytest.fixture
def pacs(tmp_path: Path) -> Iterator[SmallPacs]:
    """An empty PACS."""
    with SmallPacs(tmp_path / "pacs") as running:
        yield running


@pytest.fixture
def node() -> Iterator[tuple[Peer, list[tuple[str, str]]]]:
    """A stand-in for Celadon: where it listens, and (transfer syntax, UID) of what it was sent."""
    arrived: list[tuple[str, str]] = []

    def keep(event: Event) -> int:
        arrived.append((event.context.transfer_syntax, event.request.AffectedSOPInstanceUID))
        return 0x0000

    ae = AE("CELADON")
    ae.supported_contexts = accepted_contexts()
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    yield Peer(AeTitle("CELADON"), "127.0.0.1", server.server_address[1]), arrived
    server.shutdown()


def wait_for(condition: Callable[[], bool], seconds: float = 5) -> None:
    """Return when ``condition`` holds, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_it_answers_an_echo(pacs: SmallPacs) -> None:
    """The PACS answers C-ECHO on a free port of its own."""
    echo(pacs.peer, ME)


def test_studies_are_found_by_patient_or_uid(pacs: SmallPacs, case: DemoCase, other: DemoCase) -> None:
    """A study-level query matches on patient and UID, and counts what lies beneath."""
    send_files([*case.paths, *other.paths], pacs.peer, ME)
    assert len(find_studies(pacs.peer, ME)) == 2
    (study,) = find_studies(pacs.peer, ME, patient_id=case.patient_id)
    assert study.study_uid == case.study_uid
    assert (study.series_count, study.instance_count) == (2, 11)
    assert study.accession_number == case.accession_number
    (same,) = find_studies(pacs.peer, ME, study_uid=case.study_uid)
    assert same == study
    assert find_studies(pacs.peer, ME, patient_id="NOBODY") == ()


def test_series_are_found_with_their_counts(pacs: SmallPacs, case: DemoCase) -> None:
    """A series-level query gives modality, description and number of instances."""
    send_files(case.paths, pacs.peer, ME)
    (image,) = find_series(pacs.peer, ME, case.study_uid, modality="CT")
    assert (image.series_uid, image.instance_count) == (case.series_uid, 10)
    assert {series.modality for series in find_series(pacs.peer, ME, case.study_uid)} == {"CT", "SEG"}


def test_instances_are_found(pacs: SmallPacs, case: DemoCase) -> None:
    """An image-level query gives every instance of a series with its SOP class."""
    send_files(case.paths, pacs.peer, ME)
    instances = find_instances(pacs.peer, ME, case.study_uid, case.series_uid)
    assert len({instance.instance_uid for instance in instances}) == 10
    assert {instance.sop_class_uid for instance in instances} == {"1.2.840.10008.5.1.4.1.1.2"}


def test_a_study_comes_back_as_it_was_stored(pacs: SmallPacs, case: DemoCase, tmp_path: Path) -> None:
    """C-GET brings every object of a study back in the transfer syntax it is stored in."""
    send_files(case.paths, pacs.peer, ME)
    fetched = fetch(pacs.peer, ME, tmp_path / "back", case.study_uid)
    assert len(fetched) == 11
    back = dcmread(tmp_path / "back" / f"{dcmread(case.ct_paths[0]).SOPInstanceUID}.dcm")
    assert back.file_meta.TransferSyntaxUID == JPEG2000Lossless
    assert back.PixelData == dcmread(case.ct_paths[0]).PixelData


def test_one_series_comes_back_alone(pacs: SmallPacs, case: DemoCase, tmp_path: Path) -> None:
    """C-GET of a series brings that series only."""
    send_files(case.paths, pacs.peer, ME)
    (seg,) = [one for one in find_series(pacs.peer, ME, case.study_uid) if one.modality == "SEG"]
    (path,) = fetch(pacs.peer, ME, tmp_path / "back", case.study_uid, seg.series_uid)
    assert dcmread(path).SOPInstanceUID == case.seg_uid


def test_what_is_not_there_is_an_empty_answer(pacs: SmallPacs, tmp_path: Path) -> None:
    """A study that the PACS does not hold gives nothing, and no error."""
    assert fetch(pacs.peer, ME, tmp_path / "back", "1.2.3") == ()


def test_a_query_to_nobody_may_be_tried_again() -> None:
    """A PACS that is not there is the surroundings' fault."""
    with pytest.raises(Retryable):
        find_studies(Peer(AeTitle("NOBODY"), "127.0.0.1", 1), ME)


def test_it_keeps_what_it_holds_over_a_restart(case: DemoCase, tmp_path: Path) -> None:
    """Files in the folder are there again when the PACS starts again."""
    with SmallPacs(tmp_path) as first:
        send_files(case.paths, first.peer, ME)
    with SmallPacs(tmp_path) as second:
        assert find_studies(second.peer, ME)[0].instance_count == 11


def test_originals_are_routed_as_they_are(
    pacs: SmallPacs, case: DemoCase, node: tuple[Peer, list[tuple[str, str]]]
) -> None:
    """When a storing association ends, CT and SEG go to the node in the transfer syntax they came in."""
    peer, arrived = node
    pacs.route_to(peer)
    send_files(case.paths, pacs.peer, ME)
    wait_for(lambda: len(arrived) == 11)
    assert [syntax for syntax, _ in arrived] == [JPEG2000Lossless] * 10 + [ExplicitVRLittleEndian]


def test_results_and_other_modalities_are_not_routed(
    pacs: SmallPacs, case: DemoCase, tmp_path: Path, node: tuple[Peer, list[tuple[str, str]]]
) -> None:
    """What Celadon made, and what it cannot use, stays where it is: a loop would never end."""
    peer, arrived = node
    own, report = dcmread(case.seg_path), dcmread(case.seg_path)
    own.Manufacturer, own.SOPInstanceUID = "Celadon", "1.2.3.1"
    report.Modality, report.SOPInstanceUID = "SR", "1.2.3.2"
    for dataset in (own, report):
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.save_as(tmp_path / f"{dataset.SOPInstanceUID}.dcm")
    pacs.route_to(peer)
    send_files([tmp_path / "1.2.3.1.dcm", tmp_path / "1.2.3.2.dcm", case.ct_paths[0]], pacs.peer, ME)
    wait_for(lambda: bool(arrived))
    time.sleep(0.1)
    assert [uid for _, uid in arrived] == [dcmread(case.ct_paths[0]).SOPInstanceUID]


def test_without_a_route_nothing_is_sent(
    pacs: SmallPacs, case: DemoCase, node: tuple[Peer, list[tuple[str, str]]]
) -> None:
    """A route that was taken away is not used."""
    peer, arrived = node
    pacs.route_to(peer)
    pacs.route_to(None)
    send_files(case.paths, pacs.peer, ME)
    time.sleep(0.2)
    assert arrived == []
