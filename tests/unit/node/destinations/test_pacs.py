"""Delivery by C-STORE, against the project's own small PACS."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.uid import CTImageStorage, RTPlanStorage
from pynetdicom import AE, evt
from pynetdicom.events import Event

from node.destinations.pacs import PacsDestination
from node.dicom.small_pacs import SmallPacs
from node.dicom.tls import Certificates, server_context
from node.domain.identifiers import AeTitle, InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.ports import Destination
from node.domain.reporting import Delivery
from node.settings import ClientTlsSettings, PacsSettings
from tests.factories import SERIES, ct_slices, with_meta, write
from tests.servers import require

CERTIFICATES = Path(__file__).parents[4] / "deploy/tls/make-test-certificates.sh"

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED


def destination(port: int, ae_title: str = "SMALLPACS") -> PacsDestination:
    """The archive on ``port``."""
    return PacsDestination("archive", PacsSettings(ae_title=ae_title, host="127.0.0.1", port=port), AeTitle("CELADON"))


def deliveries(paths: Sequence[Path]) -> tuple[Delivery, ...]:
    """The files as deliveries of one job."""
    made = []
    for number, path in enumerate(paths):
        image = dcmread(path, stop_before_pixels=True)
        uid = InstanceUID(image.SOPInstanceUID)
        job = JobId.of(SERIES, 1)
        made.append(Delivery(number, job, uid, image.SOPClassUID, "archive", path, 1, DeliveryState.SENDING))
    return tuple(made)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[SmallPacs]:
    """An empty archive."""
    with SmallPacs(tmp_path / "archive") as running:
        yield running


@pytest.fixture
def ct_archive() -> Iterator[tuple[int, list[str]]]:
    """The port of an archive that takes nothing but CT, and who stored there."""
    callers: list[str] = []

    def keep(event: Event) -> int:
        callers.append(event.assoc.requestor.ae_title)
        return 0x0000

    ae = AE("SMALLPACS")
    ae.add_supported_context(CTImageStorage)
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)])
    yield server.server_address[1], callers
    server.shutdown()


@pytest.fixture
def objects(tmp_path: Path) -> tuple[Delivery, ...]:
    """Three objects."""
    return deliveries(write(ct_slices(3), tmp_path / "objects"))


def test_it_is_a_destination(archive: SmallPacs) -> None:
    """Under the name that the settings give it."""
    made = destination(archive.port)
    assert isinstance(made, Destination)
    assert made.name == "archive"


def test_what_the_archive_takes_is_stored(archive: SmallPacs, objects: tuple[Delivery, ...]) -> None:
    """One outcome an object, in order, and the objects are there under their UIDs."""
    outcomes = destination(archive.port).deliver(objects)
    assert [(one.object_uid, one.state) for one in outcomes] == [(one.object_uid, STORED) for one in objects]
    assert {path.stem for path in archive.folder.glob("*.dcm")} == {one.object_uid for one in objects}


def test_the_archive_sees_who_delivers(ct_archive: tuple[int, list[str]], objects: tuple[Delivery, ...]) -> None:
    """The calling AE title is the node's own."""
    port, callers = ct_archive
    destination(port).deliver(objects[:1])
    assert callers == ["CELADON"]


def test_an_archive_that_is_away_is_tried_again(tmp_path: Path, objects: tuple[Delivery, ...]) -> None:
    """Every outcome is PENDING with a sentence that says why, and nothing is raised."""
    with SmallPacs(tmp_path / "gone") as gone:
        port = gone.port
    outcomes = destination(port).deliver(objects)
    assert [one.state for one in outcomes] == [PENDING] * 3
    assert all(f"SMALLPACS@127.0.0.1:{port}" in one.detail for one in outcomes)


def test_a_class_that_the_archive_refuses_is_a_failure_for_good(
    ct_archive: tuple[int, list[str]], tmp_path: Path
) -> None:
    """The other objects of the job are stored all the same."""
    taken, refused = ct_slices(2)
    refused.SOPClassUID = RTPlanStorage
    mixed = deliveries(write([taken, with_meta(refused)], tmp_path / "mixed"))
    outcomes = destination(ct_archive[0]).deliver(mixed)
    assert [one.state for one in outcomes] == [STORED, FAILED]


def test_an_archive_behind_tls_is_one_that_its_authority_vouches_for(
    tmp_path: Path, objects: tuple[Delivery, ...]
) -> None:
    """With our certificate where it asks for one; another authority's archive is given nothing."""
    require("openssl", shutil.which("openssl"))
    for folder in (tmp_path / "tls", tmp_path / "tls" / "strangers"):
        subprocess.run(["sh", CERTIFICATES, folder], check=True, capture_output=True)
    made = tmp_path / "tls"
    context = server_context(Certificates(made / "node.pem", made / "node.key", made / "ca.pem"))
    ae = AE("SMALLPACS")
    ae.add_supported_context(CTImageStorage)
    handlers = [(evt.EVT_C_STORE, lambda _: 0x0000)]
    server = ae.start_server(("localhost", 0), block=False, evt_handlers=handlers, ssl_context=context)
    try:
        for authority, expected in (("ca.pem", STORED), ("strangers/ca.pem", PENDING)):
            tls = ClientTlsSettings(ca=made / authority, certificate=made / "peer.pem", key=made / "peer.key")
            settings = PacsSettings(
                ae_title="SMALLPACS", host="localhost", port=server.server_address[1], tls=tls, timeout_s=5
            )
            outcomes = PacsDestination("archive", settings, AeTitle("CELADON")).deliver(objects)
            assert [one.state for one in outcomes] == [expected] * 3
    finally:
        server.shutdown()


def test_a_file_that_is_gone_is_a_failure_for_good(archive: SmallPacs, objects: tuple[Delivery, ...]) -> None:
    """A person must look; what is still there is delivered."""
    objects[1].path.unlink()
    outcomes = destination(archive.port).deliver(objects)
    assert [one.state for one in outcomes] == [STORED, FAILED, STORED]
