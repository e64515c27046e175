"""What a reader says of a result: added, never changed; a later word of the same reader amends the earlier one."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from node.domain.identifiers import InstanceUID, JobId
from node.domain.imaging import PatientIdentity

LONGEST_REASON: Final = 2000
"""Characters."""


class VerdictKind(StrEnum):
    """The four things that a reader can say."""

    AGREE = "agree"
    DISAGREE = "disagree"
    """With the reader's own class and reason."""
    ROI_WRONG = "roi-wrong"
    """What was analysed is not the lesion: the result says nothing."""
    NOT_INTERPRETABLE = "not-interpretable"
    """Nobody could say anything from these images."""


VERDICT_SCHEME: Final = "99CELADON"
VERDICT_CODES: Final[Mapping[tuple[str, str], VerdictKind]] = MappingProxyType(
    {
        ("V_AGREE", VERDICT_SCHEME): VerdictKind.AGREE,
        ("V_DISAGREE", VERDICT_SCHEME): VerdictKind.DISAGREE,
        ("V_ROI_WRONG", VERDICT_SCHEME): VerdictKind.ROI_WRONG,
        ("V_NOT_INTERPRET", VERDICT_SCHEME): VerdictKind.NOT_INTERPRETABLE,
    }
)
"""Code value and scheme of each verdict in a document of the archive: no standard has such a code."""
OWN_CLASSES: Final[Mapping[tuple[str, str], str]] = MappingProxyType(
    {
        ("1228889001", "SCT"): "CT1",
        ("1228929004", "SCT"): "CT2",
        ("1228938002", "SCT"): "CT3",
        ("1228944003", "SCT"): "CT4",
        ("NTR_HIGH", VERDICT_SCHEME): "NTR_HIGH",
        ("NTR_LOW", VERDICT_SCHEME): "NTR_LOW",
    }
)
"""The reader's own class in such a document: AJCC clinical T categories (SNOMED CT), and our own codes."""


@dataclass(frozen=True, slots=True)
class VerdictDocument:
    """A document of the archive that holds a verdict, as it was read and not yet believed."""

    instance_uid: InstanceUID
    study_uid: str
    patient: PatientIdentity
    is_final: bool
    observers: tuple[str, ...]
    """Person names as the document has them."""
    references: tuple[str, ...]
    """SOP Instance UIDs that it is about."""
    verdicts: tuple[VerdictKind, ...]
    own_classes: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One word of one reader about one result of one model."""

    job_id: JobId
    at: datetime
    reader: str
    kind: VerdictKind
    own_class: str = ""
    """By the name of a ``Conclusion``; of somebody who disagrees."""
    reason: str = ""
    predictor: str = ""
    digest: str = ""
    """Of the model bundle, SHA-256: which model was judged."""
    conclusion: str = ""
    """What the model had said, by the name of its ``Conclusion``."""
    source_uid: str = ""
    """The SOP Instance UID of the document that it was read from; empty of one that was given on the page."""
    id: int = 0
    """Given by the store."""

    def fault(self, classes: tuple[str, ...]) -> str:
        """What is missing or too much, as a sentence; empty when it is complete. ``classes``: what may be chosen."""
        if self.kind is VerdictKind.DISAGREE:
            if self.own_class not in classes or self.own_class == self.conclusion:
                return "whoever disagrees says which class is right, and it is another"
            if not self.reason.strip():
                return "whoever disagrees says why"
        elif self.own_class:
            return f"a verdict {self.kind} has no class of its own"
        return f"the reason is longer than {LONGEST_REASON} characters" if len(self.reason) > LONGEST_REASON else ""
