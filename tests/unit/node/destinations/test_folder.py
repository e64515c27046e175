"""A folder as a destination: whole files, durable, and never half of one."""

from pathlib import Path

import pytest

from node.destinations.folder import FolderDestination
from node.domain.identifiers import InstanceUID, JobId
from node.domain.lifecycle import DeliveryState
from node.domain.reporting import Delivery
from node.settings import FolderSettings
from tests.factories import SERIES

STORED, PENDING, FAILED = DeliveryState.STORED, DeliveryState.PENDING, DeliveryState.FAILED


@pytest.fixture
def one(tmp_path: Path) -> Delivery:
    """An object."""
    path = tmp_path / "object"
    path.write_bytes(b"content")
    return Delivery(1, JobId.of(SERIES, 1), InstanceUID("2.25.1"), "1.2", "share", path, 1, DeliveryState.SENDING)


def outcome(folder: Path, one: Delivery) -> tuple[DeliveryState, str]:
    """What becomes of an object."""
    (found,) = FolderDestination("share", FolderSettings(folder=folder)).deliver([one])
    return found.state, found.detail


def test_an_object_lies_under_its_uid(tmp_path: Path, one: Delivery) -> None:
    """Byte for byte, and nothing else lies there."""
    folder = tmp_path / "share"
    folder.mkdir()
    assert outcome(folder, one) == (STORED, "")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"2.25.1.dcm": b"content"}


def test_the_same_object_again_is_stored(tmp_path: Path, one: Delivery) -> None:
    """A deliverer that died after the rename does no harm, and neither does what it left half-way."""
    (tmp_path / ".2.25.1.dcm.part").write_bytes(b"con")
    assert [outcome(tmp_path, one)[0] for _ in range(2)] == [STORED] * 2
    assert not list(tmp_path.glob(".*"))


def test_other_content_under_the_name_waits_for_a_person(tmp_path: Path, one: Delivery) -> None:
    """It is not overwritten."""
    (tmp_path / "2.25.1.dcm").write_bytes(b"other")
    assert outcome(tmp_path, one)[0] is FAILED
    assert (tmp_path / "2.25.1.dcm").read_bytes() == b"other"


def test_a_share_that_is_not_mounted_is_waited_for(tmp_path: Path, one: Delivery) -> None:
    """Nothing is made in its place."""
    assert outcome(tmp_path / "gone", one)[0] is PENDING
    assert not (tmp_path / "gone").exists()


def test_an_object_that_is_gone_says_so(tmp_path: Path, one: Delivery) -> None:
    """It is not the folder that is at fault."""
    one.path.unlink()
    state, detail = outcome(tmp_path, one)
    assert (state, "the object cannot be read" in detail) == (PENDING, True)
