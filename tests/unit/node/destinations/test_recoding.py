"""A destination with a character set of its own."""

from pathlib import Path

from pydicom import dcmread

from node.destinations.folder import FolderDestination
from node.destinations.recoding import RecodingDestination
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery
from node.settings import FolderSettings
from tests.factories import SERIES, as_file, ct_slice


def test_what_can_be_written_is_and_the_rest_waits_for_a_person(tmp_path: Path) -> None:
    """One outcome an object, in order; what is kept here is not changed."""
    made = []
    for number, name in enumerate(("Müller^Jörg", "王^小东", "Plain^Name")):
        image = ct_slice(number, PatientName=name)
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(as_file(image))
        made.append(
            Delivery(number, JobId.of(SERIES, 1), InstanceUID(image.SOPInstanceUID), image.SOPClassUID, "share", path,
                     1, DeliveryState.SENDING)
        )  # fmt: skip
    before = [one.path.read_bytes() for one in made]
    folder = tmp_path / "share"
    folder.mkdir()
    inner = FolderDestination("share", FolderSettings(folder=folder))
    outcomes = RecodingDestination(inner, "ISO_IR 100").deliver(made)
    assert [(one.object_uid, one.state) for one in outcomes] == [
        (one.object_uid, state)
        for one, state in zip(made, (DeliveryState.STORED, DeliveryState.FAILED, DeliveryState.STORED), strict=True)
    ]
    assert "PatientName cannot be written in ISO_IR 100" in outcomes[1].detail
    assert dcmread(folder / f"{made[0].object_uid}.dcm").PatientName == "Müller^Jörg"
    assert [one.path.read_bytes() for one in made] == before
    made[0].path.unlink()
    again = RecodingDestination(inner, "ISO_IR 100").deliver(made)
    assert [one.state for one in again] == [DeliveryState.PENDING, DeliveryState.FAILED, DeliveryState.STORED]
