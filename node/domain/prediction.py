"""What a model says, who said it, and why."""

from dataclasses import dataclass
from enum import Enum, StrEnum

import numpy as np

from node.domain.clinical import ClinicalRecord
from node.domain.identifiers import Uid
from node.domain.imaging import FloatArray, Roi, Volume


class TrainingStatus(StrEnum):
    """How far a bundle's weights may be trusted; decides the wording of every object."""

    UNTRAINED = "untrained"
    PHANTOM = "phantom"
    UNVALIDATED = "unvalidated"
    VALIDATED = "validated"


@dataclass(frozen=True, slots=True)
class AlgorithmIdentity:
    """Which algorithm, exactly: the one source for every object that names it (PS3.16 TID 4019)."""

    name: str
    version: str
    manufacturer: str
    family: str
    """For example ``Deep neural network``."""
    digest: str
    """SHA-256 over the whole bundle, lower-case hex."""
    status: TrainingStatus
    disclaimer: str
    """What every object must say beside the numbers, e.g. ``untrained, for plumbing only``; empty when validated."""
    parameters: tuple[str, ...] = ()
    """``name=value`` pairs that change the output: variant, preprocessing, threshold."""

    @property
    def device_uid(self) -> Uid:
        """Device UID (0018,1002): the same for the same bundle."""
        return Uid.derived("algorithm", self.name, self.version, self.digest)


class Quantity(Enum):
    """What a number is the probability of; ``node.reports.codes`` gives each its code."""

    NTR_HIGH = "NTR high"
    T1 = "T1"
    T2 = "T2"
    T3 = "T3"
    T4 = "T4"


@dataclass(frozen=True, slots=True)
class Score:
    """A probability in [0, 1] of one quantity."""

    quantity: Quantity
    probability: float


class Conclusion(Enum):
    """The class that a predictor decides for; the value is what a person reads."""

    NTR_HIGH = "High neutrophil-to-T-cell ratio"
    NTR_LOW = "Low neutrophil-to-T-cell ratio"
    CT1 = "cT1"
    CT2 = "cT2"
    CT3 = "cT3"
    CT4 = "cT4"


class ExplanationMethod(StrEnum):
    """How a saliency map was made (PS3.16 CID 217)."""

    GRAD_CAM = "Grad-CAM"
    CLASS_ACTIVATION = "Class activation"


@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Where in the image the evidence for the conclusion lies, on the CT's own grid."""

    method: ExplanationMethod
    target: str
    """What the map explains, as a person reads it: for example ``evidence for cT3``."""
    saliency: FloatArray
    """[slice, row, column] in [0, 1]: a box of the volume; all zero means that there is no evidence."""
    start_zyx: tuple[int, int, int]
    """The index of the box's first voxel in the volume."""
    key_slices: tuple[int, ...]
    """Slice indices of the volume to show, the most telling first."""
    roi_dice: float | None = None
    """Dice coefficient, in [0, 1], of the map binarised at half its maximum with the region; None when not computed.

    How far the model looked where the lesion is (GTRNet, doi 10.1038/s41746-025-02002-5, results).
    """

    @property
    def is_empty(self) -> bool:
        """Whether the map holds no evidence anywhere."""
        return not bool((self.saliency > 0).any())

    def on_slice(self, index: int, shape: tuple[int, int]) -> FloatArray:
        """The map of slice ``index`` of the volume as [row, column] of ``shape``, zero outside the box."""
        full = np.zeros(shape, dtype=np.float32)
        z, y, x = self.start_zyx
        if z <= index < z + self.saliency.shape[0]:
            plane = self.saliency[index - z]
            full[y : y + plane.shape[0], x : x + plane.shape[1]] = plane
        return full


@dataclass(frozen=True, slots=True)
class Contribution:
    """How much one input moved the output away from the base (a Shapley value), in logits."""

    name: str
    """A clinical variable as ``ClinicalVariable`` names it, or ``image`` for the whole image embedding."""
    logits: float
    answer: str = ""
    """The input's value with its unit as a person reads it; empty for the image."""
    is_imputed: bool = False


@dataclass(frozen=True, slots=True)
class Attribution:
    """Shapley values (SHAP) of one output: ``base_logit`` plus all contributions is ``logit``."""

    base_logit: float
    """The mean output over the background rows."""
    logit: float
    contributions: tuple[Contribution, ...]
    """The largest in size first."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A probability that is known only as lying between two, both included."""

    low: float
    high: float

    @property
    def is_exact(self) -> bool:
        """Whether both are the same number."""
        return self.low == self.high


@dataclass(frozen=True, slots=True)
class NomogramItem:
    """One line of a nomogram: what was answered, and the points it gives."""

    name: str
    answer: str | None
    """None: unknown."""
    points: Interval
    """On the nomogram's scale of 0 to 100 for its widest line; a range when the answer is unknown."""
    scale: tuple[tuple[str, float], ...] = ()
    """The line's ticks, each an answer and its points, in the order of the points: how the line is drawn."""


@dataclass(frozen=True, slots=True)
class Nomogram:
    """A nomogram's reading for one patient (GTRNet, doi 10.1038/s41746-025-02002-5, Table 3)."""

    items: tuple[NomogramItem, ...]
    total_points: Interval
    probabilities: tuple[tuple[Quantity, Interval], ...]
    """For each category; a range over all values that unknown items could have."""
    notes: tuple[str, ...] = ()
    """What limits it, as sentences without patient data."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader must know about this prediction: a coded word and a sentence without patient data."""

    code: str
    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """What a predictor is given."""

    volume: Volume
    roi: Roi
    clinical: ClinicalRecord


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a predictor found, with its explanation and everything that limits it."""

    algorithm: AlgorithmIdentity
    title: str
    """What was predicted, as a person reads it: for example ``Predicted cT category``."""
    scores: tuple[Score, ...]
    """The probabilities; for several classes they sum to one."""
    conclusion: Conclusion
    threshold: float | None
    """The decision threshold on the (single) score, where there is one."""
    votes: tuple[Conclusion, ...]
    """The conclusion for each slice that voted, in slice order; empty when there was no vote."""
    explanation: Explanation
    notes: tuple[Note, ...] = ()
    attribution: Attribution | None = None
    nomogram: Nomogram | None = None
    clinical_used: tuple[str, ...] = ()
    """Names of the clinical variables that had a value."""
    clinical_imputed: tuple[str, ...] = ()
    """Names of the clinical variables that were imputed."""
