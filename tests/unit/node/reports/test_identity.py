"""The algorithm's identity in DICOM."""

from collections.abc import Callable
from dataclasses import replace

from node.domain.prediction import TrainingStatus
from node.domain.reporting import Notice, NoticeKind, Report
from node.reports.identity import contributing_equipment, parameters, qualification
from tests.unit.node.reports.factory import gtrnet


def test_the_device_uid_follows_the_weights(make_report: Callable[..., Report]) -> None:
    """Other weights are another device, although name and version are the same."""
    prediction = gtrnet()
    retrained = replace(prediction, algorithm=replace(prediction.algorithm, digest="0" * 64))
    report = make_report(prediction)
    other = replace(report, prediction=retrained)
    assert contributing_equipment(report).DeviceUID != contributing_equipment(other).DeviceUID


def test_a_notice_names_the_node_and_no_algorithm(make_notice: Callable[..., Notice]) -> None:
    """No model spoke: the equipment is the node in its version."""
    notice = make_notice(NoticeKind.NOT_ANALYSED)
    item = contributing_equipment(notice)
    assert (item.ManufacturerModelName, item.SoftwareVersions) == ("Celadon node", "0.1.0")
    assert item.DeviceUID != contributing_equipment(replace(notice, node_version="0.2.0")).DeviceUID


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
