"""Which algorithm, on which node: the one place where an algorithm's identity becomes DICOM."""

from typing import Final

from highdicom import AlgorithmIdentificationSequence, ContributingEquipment
from highdicom.enum import ContentQualificationValues
from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    ObservationContext,
    ObserverContext,
)
from pydicom import Dataset

from node.domain.identifiers import MANUFACTURER, Uid
from node.domain.prediction import AlgorithmIdentity, TrainingStatus
from node.domain.reporting import Notice, Report
from node.reports.codes import ARTIFICIAL_INTELLIGENCE, DEVICE, PROCESSING_EQUIPMENT, REGION_TRANSFER, concept

MODEL: Final = "Celadon node"
DIGEST_CHARACTERS: Final = 12
_LONG_STRING: Final = 64


def serial_number(algorithm: AlgorithmIdentity) -> str:
    """Device Serial Number (0018,1000): the start of the bundle's digest, which names the weights in use."""
    return algorithm.digest[:DIGEST_CHARACTERS]


def qualification(algorithm: AlgorithmIdentity) -> ContentQualificationValues:
    """Content Qualification (0018,9004): RESEARCH unless the bundle is validated (PS3.3 section C.8.13.2.1.1)."""
    validated = algorithm.status is TrainingStatus.VALIDATED
    return ContentQualificationValues.PRODUCT if validated else ContentQualificationValues.RESEARCH


def parameters(algorithm: AlgorithmIdentity) -> list[str]:
    """What changes the output, with the digest and the training status: the parameters of PS3.16 TID 4019."""
    return [*algorithm.parameters, f"bundle-sha256={algorithm.digest}", f"training={algorithm.status.value}"]


def algorithm_identification(algorithm: AlgorithmIdentity) -> AlgorithmIdentification:
    """The algorithm inside a measurement group (PS3.16 TID 4019)."""
    return AlgorithmIdentification(
        name=algorithm.name,
        version=algorithm.version,
        parameters=parameters(algorithm),
        family=concept(ARTIFICIAL_INTELLIGENCE),
        manufacturer=algorithm.manufacturer,
    )


def region_algorithm(report: Report) -> AlgorithmIdentificationSequence:
    """What made the segment (PS3.3 section 10.16): the segmenter that found it, or the transfer of a received one."""
    received = report.roi.source_instance_uid is not None
    return AlgorithmIdentificationSequence(
        name=f"{MANUFACTURER} {report.roi.source}"[:_LONG_STRING],
        family=concept(REGION_TRANSFER if received else ARTIFICIAL_INTELLIGENCE),
        version=report.node_version,
        source=MANUFACTURER,
    )


def node_uid(notice: Notice) -> Uid:
    """The Device UID (0018,1002) of the node where no algorithm spoke: the same for the same version."""
    return Uid.derived("node", notice.node_version)


def node_observer(notice: Notice) -> ObserverContext:
    """The node as the observer of a notice (PS3.16 TID 1004)."""
    device = DeviceObserverIdentifyingAttributes(
        uid=node_uid(notice),
        name=MODEL,
        manufacturer_name=MANUFACTURER,
        model_name=f"{MODEL} {notice.node_version}",
    )
    return ObserverContext(observer_type=concept(DEVICE), observer_identifying_attributes=device)


def observation_context(algorithm: AlgorithmIdentity) -> ObservationContext:
    """The algorithm as the observer of everything in the document (PS3.16 TID 1004)."""
    device = DeviceObserverIdentifyingAttributes(
        uid=algorithm.device_uid,
        name=algorithm.name,
        manufacturer_name=algorithm.manufacturer,
        model_name=f"{algorithm.name} {algorithm.version}",
        serial_number=serial_number(algorithm),
    )
    return ObservationContext(
        observer_device_context=ObserverContext(observer_type=concept(DEVICE), observer_identifying_attributes=device),
    )


def contributing_equipment(source: Report | Notice) -> Dataset:
    """Who made the content, as an item of Contributing Equipment Sequence (0018,A001) (PS3.3 section C.12.1)."""
    if isinstance(source, Notice):
        return _node(source)
    algorithm = source.algorithm
    item: Dataset = ContributingEquipment(
        manufacturer=algorithm.manufacturer,
        purpose_of_reference=concept(PROCESSING_EQUIPMENT),
        manufacturer_model_name=algorithm.name,
        software_versions=algorithm.version,
        device_serial_number=serial_number(algorithm),
    )
    item.DeviceUID = algorithm.device_uid  # highdicom has no argument for it
    return item


def _node(notice: Notice) -> Dataset:
    item: Dataset = ContributingEquipment(
        manufacturer=MANUFACTURER,
        purpose_of_reference=concept(PROCESSING_EQUIPMENT),
        manufacturer_model_name=MODEL,
        software_versions=notice.node_version,
    )
    item.DeviceUID = node_uid(notice)
    return item
