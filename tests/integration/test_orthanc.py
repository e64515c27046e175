"""A real Orthanc beside Celadon: what it routes, in which form, and what comes back from it."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.demo.pacs import DemoPacs, orthanc_program, start_pacs
from node.demo.series import DemoCase, make_case
from node.dicom.contexts import accepted_contexts
from node.dicom.peer import Peer
from node.dicom.query import fetch, find_instances, find_series, find_studies
from node.dicom.sending import echo, send_files
from node.domain.identifiers import AeTitle
from node.errors import Retryable

DEPLOY = Path(__file__).parents[2] / "deploy" / "orthanc"
ME = "TESTER"


def need(program: str | None, name: str) -> str:
    """The program; a visible skip without it, and a failure where every server must be there."""
    if program is None:
        if os.environ.get("CI"):
            pytest.fail(f"{name} is not installed, and CI must have it")
        pytest.skip(f"{name} is not installed")
    return program


class Node:
    """A stand-in for Celadon that accepts what Celadon accepts and remembers it."""

    def __init__(self) -> None:
        """Start on a free port."""
        self.arrived: list[tuple[str, str, bytes]] = []
        self.releases = 0
        ae = AE("CELADON")
        ae.supported_contexts = accepted_contexts()
        ae.add_supported_context("1.2.840.10008.1.1")
        handlers = [(evt.EVT_C_STORE, self._keep), (evt.EVT_RELEASED, self._released)]
        self.server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        self.peer = Peer(AeTitle("CELADON"), "127.0.0.1", self.server.server_address[1])

    def _keep(self, event: Event) -> int:
        request = event.request
        self.arrived.append((event.context.transfer_syntax, request.AffectedSOPInstanceUID, request.DataSet.getvalue()))
        return 0x0000

    def _released(self, _: Event) -> None:
        self.releases += 1

    def wait_for(self, count: int, seconds: float = 10) -> None:
        """Return when ``count`` objects are there."""
        wait_until(lambda: len(self.arrived) >= count, seconds)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Return when ``condition`` holds, or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.fixture
def node() -> Iterator[Node]:
    """A fresh stand-in for Celadon."""
    running = Node()
    yield running
    running.server.shutdown()


@pytest.fixture(scope="module")
def orthanc() -> Iterator[DemoPacs]:
    """One Orthanc for this module."""
    need(orthanc_program(), "Orthanc")
    with start_pacs() as pacs:
        assert pacs.kind == "Orthanc"
        yield pacs


@pytest.fixture
def case(request: pytest.FixtureRequest, tmp_path: Path) -> DemoCase:
    """A patient of this test alone."""
    return make_case("pancreas", tmp_path / "case", request.node.name[:40])


def test_storescu_to_orthanc_to_node_keeps_the_compressed_stream(orthanc: DemoPacs, node: Node, case: DemoCase) -> None:
    """What DCMTK stores in Orthanc reaches the node within seconds, JPEG 2000 as JPEG 2000, pixels untouched."""
    program = need(shutil.which("storescu"), "storescu (DCMTK)")
    orthanc.route_to(node.peer)
    subprocess.run(
        [program, "-R", "-xv", "-aec", orthanc.ae_title, orthanc.host, str(orthanc.port), *map(str, case.ct_paths)],
        env=os.environ | {"TCP_NODELAY": "1"},
        check=True,
        timeout=60,
    )
    node.wait_for(10)
    assert {syntax for syntax, _, _ in node.arrived} == {JPEG2000Lossless}
    by_uid = {uid: data_set for _, uid, data_set in node.arrived}
    for path in case.ct_paths:
        image = dcmread(path)
        assert image.PixelData.rstrip(b"\0") in by_uid[image.SOPInstanceUID]


def test_contours_follow_their_images(orthanc: DemoPacs, node: Node, case: DemoCase) -> None:
    """The SEG is routed too, and the associations end by themselves after the last object."""
    orthanc.route_to(node.peer)
    orthanc.store(case.paths)
    node.wait_for(11)
    assert (ExplicitVRLittleEndian, case.seg_uid) in [one[:2] for one in node.arrived]
    wait_until(lambda: node.releases >= 2, 20)
    assert node.releases >= 2  # one for each SOP class at least


def altered(source: Path, target: Path, **values: str) -> Path:
    """A copy of a file with other values."""
    dataset = dcmread(source)
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(target)
    return target


def test_results_are_not_sent_back(orthanc: DemoPacs, node: Node, case: DemoCase, tmp_path: Path) -> None:
    """What Celadon made, what came from its AE title, and other modalities stay in Orthanc."""
    orthanc.route_to(node.peer)
    own = altered(case.seg_path, tmp_path / "a.dcm", Manufacturer="Celadon", SOPInstanceUID=f"{case.seg_uid}.1"[-60:])
    report = altered(case.seg_path, tmp_path / "b.dcm", Modality="SR", SOPInstanceUID="1.2.3.1")
    returned = altered(case.seg_path, tmp_path / "c.dcm", SOPInstanceUID="1.2.3.2")
    assert all(result.is_stored for result in send_files([own, report], orthanc.peer, ME))
    assert all(result.is_stored for result in send_files([returned], orthanc.peer, "CELADON"))
    orthanc.store(case.ct_paths[:1])
    node.wait_for(1)
    time.sleep(0.3)
    assert [uid for _, uid, _ in node.arrived] == [dcmread(case.ct_paths[0]).SOPInstanceUID]


def test_without_a_route_orthanc_stores_and_sends_nothing(orthanc: DemoPacs, node: Node, case: DemoCase) -> None:
    """Orthanc with the script but without the modality is an ordinary archive."""
    orthanc.route_to(node.peer)
    orthanc.route_to(None)
    orthanc.store(case.paths)
    time.sleep(0.3)
    assert node.arrived == []
    assert find_studies(orthanc.peer, ME, study_uid=case.study_uid)[0].instance_count == 11


def test_queries_see_what_is_stored(orthanc: DemoPacs, case: DemoCase) -> None:
    """C-FIND gives studies, series and instances with their counts."""
    orthanc.route_to(None)
    orthanc.store(case.paths)
    (study,) = find_studies(orthanc.peer, ME, patient_id=case.patient_id)
    assert (study.study_uid, study.series_count, study.instance_count) == (case.study_uid, 2, 11)
    (image,) = find_series(orthanc.peer, ME, case.study_uid, modality="CT")
    assert (image.series_uid, image.instance_count) == (case.series_uid, 10)
    assert len(find_instances(orthanc.peer, ME, case.study_uid, case.series_uid)) == 10


def test_a_study_comes_back_as_it_was_stored(orthanc: DemoPacs, case: DemoCase, tmp_path: Path) -> None:
    """C-GET brings everything back, compressed as it is stored."""
    orthanc.route_to(None)
    orthanc.store(case.paths)
    fetched = fetch(orthanc.peer, ME, tmp_path / "back", case.study_uid)
    assert len(fetched) == 11
    for path in case.paths:
        sent = dcmread(path)
        back = dcmread(tmp_path / "back" / f"{sent.SOPInstanceUID}.dcm")
        assert back.PixelData == sent.PixelData
        assert back.file_meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID


@contextmanager
def deployed(folder: Path, node: Peer, ports: tuple[int, int]) -> Iterator[Peer]:
    """Orthanc with the very files of deploy/orthanc; only ports, address and storage are replaced."""
    text = (DEPLOY / "orthanc.json").read_text(encoding="utf-8")
    for key, value in (("DicomPort", ports[0]), ("HttpPort", ports[1]), ("Port", node.port)):
        text, count = re.subn(rf'"{key}" : \d+', f'"{key}" : {value}', text)
        assert count == 1
    storage = json.dumps(str(folder / "storage"))
    text = text.replace("{", f'{{ "StorageDirectory" : {storage}, "IndexDirectory" : {storage},', 1)
    (folder / "orthanc.json").write_text(text, encoding="utf-8")
    shutil.copy(DEPLOY / "celadon-routing.lua", folder)
    command = [need(orthanc_program(), "Orthanc"), str(folder / "orthanc.json")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            yield Peer(AeTitle("ORTHANC"), "127.0.0.1", ports[0])
        finally:
            process.terminate()
            process.wait(20)


def answers(peer: Peer) -> bool:
    """Whether a peer answers C-ECHO."""
    try:
        echo(peer, ME, timeout_s=1)
    except Retryable:
        return False
    return True


def test_the_files_for_administrators_work_as_they_are(node: Node, case: DemoCase, tmp_path: Path) -> None:
    """Orthanc with the configuration and script of deploy/orthanc routes, and lets Celadon alone query."""
    with node_free_ports() as ports, deployed(tmp_path, node.peer, ports) as peer:
        wait_until(lambda: answers(peer), 20)
        assert all(result.is_stored for result in send_files(case.paths, peer, "SCANNER"))
        node.wait_for(11)
        assert {syntax for syntax, _, _ in node.arrived} == {JPEG2000Lossless, ExplicitVRLittleEndian}
        assert find_studies(peer, "CELADON", study_uid=case.study_uid)
        with pytest.raises(Retryable):
            find_studies(peer, "STRANGER", study_uid=case.study_uid)


@contextmanager
def node_free_ports() -> Iterator[tuple[int, int]]:
    """Two ports that were free a moment ago."""
    servers = [AE("X").make_server(("127.0.0.1", 0), contexts=accepted_contexts()) for _ in range(2)]
    ports = servers[0].server_address[1], servers[1].server_address[1]
    for server in servers:
        server.server_close()
    yield ports
