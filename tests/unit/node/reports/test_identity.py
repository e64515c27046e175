"""The algorithm's identity in DICOM."""

from dataclasses import replace

from node.domain.prediction import TrainingStatus
from node.reports.identity import contributing_equipment, parameters, qualification
from tests.unit.node.reports.factory import gtrnet


def test_the_device_uid_follows_the_weights() -> None:
    """Other weights are another device, although name and version are the same."""
    algorithm = gtrnet().algorithm
    retrained = replace(algorithm, digest="0" * 64)
    assert contributing_equipment(algorithm).DeviceUID != contributing_equipment(retrained).DeviceUID


def test_only_a_validated_bundle_is_a_product() -> None:
    """Everything that is not validated is marked as research."""
    algorithm = gtrnet().algorithm
    found = {status: qualification(replace(algorithm, status=status)).value for status in TrainingStatus}
    assert found.pop(TrainingStatus.VALIDATED) == "PRODUCT"
    assert set(found.values()) == {"RESEARCH"}


def test_the_parameters_hold_the_whole_digest() -> None:
    """The exact weights can be found from the report alone."""
    algorithm = gtrnet().algorithm
    assert f"bundle-sha256={algorithm.digest}" in parameters(algorithm)
    assert "profile=published" in parameters(algorithm)
