"""The rejection note: a key object selection that tells an archive which objects must not be used any more.

Source: IHE Radiology Technical Framework, Imaging Object Change Management (RAD TF-1 section 35) and Rejection Note
Stored (RAD-66); PS3.3 section A.35.4; PS3.16 TID 2010 with a title of CID 7010.
"""

from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from pydicom import Dataset

from node.domain.reporting import Notice, NoticeKind, ObjectKind, ReportedNumber, ReportObject
from node.reports import codes
from node.reports.codes import concept
from node.reports.envelope import notice_arguments, seal
from node.reports.evidence import gather_for, reference
from node.reports.identity import node_observer


class RejectionNoteWriter:
    """Writes one key object selection document with everything that is withdrawn; nothing where nothing is."""

    kind = ObjectKind.REJECTION_NOTE

    def write(self, notice: Notice) -> tuple[ReportObject, ...]:
        """One document: "Rejected for Patient Safety Reasons", which every archive with IOCM hides at once.

        "Data Retention Policy Expired" would say that the result was right and is only old.
        """
        if notice.kind is not NoticeKind.WITHDRAWN or not notice.withdrawn:
            return ()
        evidence = gather_for(notice)
        objects = [reference(notice, one) for one in notice.withdrawn]
        content = KeyObjectSelection(
            document_title=concept(codes.REJECTED_FOR_PATIENT_SAFETY),
            referenced_objects=objects,
            observer_device_context=node_observer(notice),
            description=evidence.characters.fit(f"AI result withdrawn: {notice.reason}"),
        )
        dataset: Dataset = KeyObjectSelectionDocument(
            evidence=objects, content=content, **notice_arguments(notice, self.kind)
        )
        numbers = (ReportedNumber("Objects withdrawn", len(objects)),)
        return (seal(dataset, notice, evidence, self.kind, numbers),)
