"""The shipped kind of segmenter: organs in the whole abdomen at a coarse spacing, then lesions in the box around each.

Memory: the series itself, one mask of its size of which only the lesion's part is ever touched, and beside them what
the windows need, the coarse grid (a byte and a float for each 5 mm cell) and one box of bounded size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage

from models.fields import Fields
from models.networks.segmenter import CoarseToFine
from models.preprocessing.regrid import Axis, Grid, Regridded, grid_of
from models.runtime import Cut, Trunk, fast
from models.segmenters import outliers, windows
from models.segmenters.attenuation import means_hu
from models.segmenters.lesions import Lesion, near, pieces, touches_edge
from models.segmenters.orientation import Turn
from models.segmenters.plan import Plan, Stage
from models.segmenters.quality import RoiQuality, entropy, in_order
from models.segmenters.zoo import ZooBundle
from node.domain.coding import Anatomy
from node.domain.imaging import Annotation, BoolArray, FloatArray, Roi, Volume, each_with_others
from node.domain.parts import Part, lesion_part, organ_part
from node.domain.prediction import TrainingStatus
from node.domain.reasons import BundleFault, ReasonCode
from node.errors import BundleError, Refused, UsageError
from node.settings import SegmenterSettings

NETWORK: Final = "models.networks.segmenter.CoarseToFine"
"""The only class that the configuration of such a bundle may name: it is built in this process."""
_ARGUMENTS: Final = frozenset({"coarse_classes", "fine_classes", "coarse_features", "fine_features"})
_STATUSES: Final = {status.value: status for status in TrainingStatus}
_MM3_PER_ML: Final = 1000.0
_DIGEST_CHARACTERS: Final = 12

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """What the coarse network says of a series."""

    grid: Grid
    labels: Labels
    """[slice, row, column] in the patient's axes."""
    means_hu: dict[Part, float]
    features: npt.NDArray[np.float64]
    """(c,): the bottleneck's mean over all windows."""


@dataclass(frozen=True, slots=True, eq=False)
class Closeup:
    """What the fine network says of the box around an organ."""

    grid: Grid
    probability: FloatArray
    """[slice, row, column]: of a lesion in the organ."""
    organ: BoolArray
    """The organ, without or with lesions."""
    entropy: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A lesion, where it lies in the series, and what speaks for it."""

    anatomy: Anatomy
    mask: BoolArray
    """Of the whole series, as it is stored."""
    voxels: int
    quality: RoiQuality


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """All that the networks say of a series, before anything is refused."""

    survey: Survey
    score: float
    """How unlike the images of training it is."""
    found: tuple[Found, ...]
    """What looks like a lesion in or beside its organ, largest first."""


class CoarseToFineSegmenter:
    """A coarse-to-fine bundle, loaded."""

    def __init__(self, name: str, path: Path, sha256: str, *, device: str = "cpu", cache: Path | None = None) -> None:
        """``name``: as the settings call it. Raises BundleError when the bundle does not fit."""
        bundle = ZooBundle.open(path, sha256)
        fields = Fields(bundle.metadata, bundle.parser()["_meta_"]).child("celadon")
        self.name = name
        self.plan = Plan.read(fields.child("segmenter"))
        self.status: TrainingStatus = fields.one_of("status", _STATUSES)
        is_validated = self.status is TrainingStatus.VALIDATED
        self.disclaimer = fields.get("disclaimer", str) if is_validated else fields.text("disclaimer")
        self.made_by = _made_by(fields, bundle, self.disclaimer)
        self._digest, self._cache, self._device = bundle.digest, cache, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            network = _network(bundle, self.plan)
        bundle.fill(network)
        network = network.to(self._device).eval().requires_grad_(requires_grad=False)
        self._coarse = network.coarse
        self._fine: Trunk = network.fine
        self._familiar = outliers.Familiar.read(
            {name: tensor.cpu().numpy() for name, tensor in network.state_dict().items() if name in outliers.TENSORS}
        )

    def warm(self) -> None:
        """Put the fine network on the fast path, which takes seconds."""
        if not isinstance(self._fine, torch.nn.Module):
            return
        example = torch.from_numpy(_noise(self.plan.fine.window_zyx)).to(self._device)
        cut = Cut(self._fine, (example,), lambda maps: torch.softmax(maps, dim=1), batch=1)
        self._fine = fast(cut, self._digest, self._device, self._cache)

    def locate(
        self,
        volume: Volume,
        annotations: Sequence[Annotation],  # noqa: ARG002 — the port's signature
        organs: Sequence[Anatomy],
    ) -> tuple[Roi, ...]:
        """The lesions in ``organs`` that are within the limits of the bundle; empty when it sees none.

        Those of the likelier organ first, in each organ the largest.

        Raises Refused: OUT_OF_DISTRIBUTION when the images are unlike those of training, ROI_UNCERTAIN when it sees
        some and each is beyond a limit, with those of the largest.
        """
        turn = Turn.of(volume.geometry)
        survey = self._survey(volume, turn)
        score = self._familiar.score(survey.features)
        if self._familiar.is_unlike(score):
            raise Refused(
                ReasonCode.OUT_OF_DISTRIBUTION, f"score {score:.2f}, familiar up to {self._familiar.threshold:.2f}"
            )
        found = self._found(volume, turn, survey, organs)
        limits = self.plan.limits
        plausible = [lesion for lesion in found if not limits[lesion.anatomy].faults(lesion.quality)]
        if found and not plausible:
            limits[found[0].anatomy].refuse(found[0].quality)
        order = in_order([(lesion.anatomy, lesion.quality) for lesion in plausible], limits)
        rois = [self._roi(volume, plausible[at], number, survey) for number, at in enumerate(order, start=1)]
        return each_with_others(rois)

    def measure(self, volume: Volume) -> Mapping[Part, float]:
        """The mean HU of each organ and vessel that it finds; none of images that are unlike those of training."""
        survey = self._survey(volume, Turn.of(volume.geometry))
        return {} if self._familiar.is_unlike(self._familiar.score(survey.features)) else survey.means_hu

    def look(self, volume: Volume, organs: Sequence[Anatomy]) -> Look:
        """Everything, whatever the limits: what training fits them on. Raises Refused for a series that lies askew."""
        turn = Turn.of(volume.geometry)
        survey = self._survey(volume, turn)
        return Look(survey, self._familiar.score(survey.features), self._found(volume, turn, survey, organs))

    def survey(self, hu: npt.NDArray[Any], whole: Grid) -> Survey:
        """The organs of a series in the patient's axes."""
        stage = self.plan.coarse
        grid = _covering(whole, stage.spacing_mm)
        image = Regridded(hu, whole, grid)
        labels, values = np.zeros(image.shape, np.uint8), np.zeros(image.shape, np.float32)
        features: list[npt.NDArray[np.float64]] = []

        def read(first: int, stop: int) -> FloatArray:
            values[first:stop] = image.slab(first, stop)
            return self._scaled(values[first:stop])

        def run(window: FloatArray) -> FloatArray:
            logits, pooled = self._coarse.with_features(torch.from_numpy(window[None, None]).to(self._device))
            features.append(pooled[0].cpu().numpy().astype(np.float64))
            return _probabilities(logits)

        with torch.inference_mode():
            for strip in windows.sweep(read, image.shape, stage.window_zyx, run):
                labels[strip.first : strip.first + strip.probabilities.shape[1]] = strip.probabilities.argmax(axis=0)
        return Survey(grid, labels, means_hu(values, labels, stage.meaning), np.mean(features, axis=0))

    def closeup(self, hu: npt.NDArray[Any], whole: Grid, box: Grid, organ: Anatomy) -> Closeup:
        """The organ and its lesions in a box."""
        stage, image = self.plan.fine, Regridded(hu, whole, box)
        probability, uncertain = np.zeros(image.shape, np.float32), np.zeros(image.shape, np.float32)
        is_organ = np.zeros(image.shape, np.bool_)
        lesion, itself = stage.number(lesion_part(organ)), stage.number(organ_part(organ))

        def run(window: FloatArray) -> FloatArray:
            return _probabilities(self._fine(torch.from_numpy(window[None, None]).to(self._device)))

        def read(first: int, stop: int) -> FloatArray:
            return self._scaled(image.slab(first, stop))

        with torch.inference_mode():
            for strip in windows.sweep(read, image.shape, stage.window_zyx, run):
                planes = slice(strip.first, strip.first + strip.probabilities.shape[1])
                probability[planes] = strip.probabilities[lesion]
                uncertain[planes] = entropy(strip.probabilities)
                is_organ[planes] = np.isin(strip.probabilities.argmax(axis=0), (lesion, itself))
        return Closeup(box, probability, is_organ, uncertain)

    def _survey(self, volume: Volume, turn: Turn) -> Survey:
        return self.survey(turn.to_patient(volume.hu), _whole(volume, turn))

    def _found(self, volume: Volume, turn: Turn, survey: Survey, organs: Sequence[Anatomy]) -> tuple[Found, ...]:
        """The plausible lesions of all organs, largest first."""
        found = [lesion for organ in organs for lesion in self._lesions(volume, turn, survey, organ)]
        return tuple(sorted(found, key=lambda lesion: -lesion.voxels))

    def _lesions(self, volume: Volume, turn: Turn, survey: Survey, organ: Anatomy) -> list[Found]:
        """The plausible lesions of one organ, where there is such an organ."""
        whole = _whole(volume, turn)
        box = self._box(survey, whole, organ)
        if box is None:
            return []
        close = self.closeup(turn.to_patient(volume.hu), whole, box, organ)
        step = self.plan.fine.spacing_mm
        fewest = max(1, round(self.plan.least_lesion_ml * _MM3_PER_ML / step**3))
        reach = max(1, round(self.plan.reach_mm / step))
        candidates = pieces(close.probability >= self.plan.probability, fewest)
        plausible = near(candidates, self._itself(close), (reach, reach, reach))
        found = []
        for lesion in plausible:
            mask = self._on_series(volume, turn, whole, close, lesion)
            voxels = int(np.count_nonzero(mask))
            if voxels:
                quality = self._quality(close, lesion, len(plausible), voxels * volume.geometry.voxel_volume_mm3)
                found.append(Found(organ, mask, voxels, quality))
        return found

    def _itself(self, close: Closeup) -> BoolArray:
        """The organ in a box: its largest piece, and others large enough to be one; specks elsewhere hold no lesion.

        A tumour of the pancreas may leave it in two pieces.
        """
        enough = self.plan.least_organ_ml * _MM3_PER_ML / self.plan.fine.spacing_mm**3
        itself = np.zeros(_shape(close.organ), dtype=np.bool_)
        for number, piece in enumerate(pieces(close.organ)):
            if number == 0 or piece.voxels >= enough:
                itself[piece.box] |= piece.mask
        return itself

    def _box(self, survey: Survey, whole: Grid, organ: Anatomy) -> Grid | None:
        """The fine grid around the largest piece of an organ; None when there is too little of it."""
        stage = self.plan.coarse
        fewest = max(1, round(self.plan.least_organ_ml * _MM3_PER_ML / stage.spacing_mm**3))
        found = pieces(survey.labels == stage.number(organ_part(organ)), fewest)
        if not found:
            return None
        axes = zip(whole, survey.grid, found[0].box, strict=True)
        z, y, x = (self._side(axis, coarse.part(side.start, side.stop)) for axis, coarse, side in axes)
        return z, y, x

    def _side(self, whole: Axis, organ: Axis) -> Axis:
        """The fine axis along one side of the box: with a margin, within the series, of bounded length."""
        low, high = (end + sign * self.plan.margin_mm for end, sign in zip(organ.ends_mm, (-1.0, 1.0), strict=True))
        middle, reach = 0.5 * (low + high), 0.5 * min(high - low, self.plan.longest_box_mm)
        first, last = whole.ends_mm
        low, high = max(first, middle - reach), min(last, middle + reach)
        step = self.plan.fine.spacing_mm
        return Axis(low + 0.5 * step, step, max(1, int((high - low) / step)))

    def _on_series(self, volume: Volume, turn: Turn, whole: Grid, close: Closeup, lesion: Lesion) -> BoolArray:
        """One lesion on the series' own voxels: its probability between fine voxels decides, so edges are smooth."""
        alone = np.zeros_like(close.probability)
        # With the voxels around it: the edge lies between those inside and those outside.
        around = ndimage.maximum_filter(lesion.on(_shape(close.organ)), size=3)
        alone[around] = close.probability[around]
        mask = np.zeros(volume.hu.shape, dtype=np.bool_)
        turned = turn.to_patient(mask)
        ranges = [
            axis.range_of(*fine.part(side.start, side.stop).ends_mm)
            for axis, fine, side in zip(whole, close.grid, lesion.box, strict=True)
        ]
        z, y, x = (axis.part(*range_) for axis, range_ in zip(whole, ranges, strict=True))
        voxels = Regridded(alone, close.grid, (z, y, x))
        for k in range(z.count):
            plane = voxels.slab(k, k + 1)[0] >= self.plan.probability
            turned[ranges[0][0] + k, slice(*ranges[1]), slice(*ranges[2])] = plane
        return mask

    def _quality(self, close: Closeup, lesion: Lesion, components: int, volume_mm3: float) -> RoiQuality:
        return RoiQuality(
            volume_ml=volume_mm3 / _MM3_PER_ML,
            components=components,
            touches_edge=touches_edge(lesion, _shape(close.organ)),
            probability=float(close.probability[lesion.box][lesion.mask].mean()),
            entropy=float(close.entropy[lesion.box][lesion.mask].mean()),
        )

    def _roi(self, volume: Volume, lesion: Found, number: int, survey: Survey) -> Roi:
        return Roi(
            mask=lesion.mask,
            geometry=volume.geometry,
            anatomy=lesion.anatomy,
            label=f"Lesion {number} in the {lesion.anatomy.key}",
            source=self.name,
            made_by=self.made_by,
            means_hu=survey.means_hu,
        )

    def _scaled(self, hu: FloatArray) -> FloatArray:
        return scaled(hu, self.plan.window_hu)


def configured(name: str, settings: SegmenterSettings, threads: int = 1) -> CoarseToFineSegmenter:  # noqa: ARG001 — torch has them
    """The segmenter that ``[segmenters.NAME]`` describes, warm. Raises BundleError when its bundle does not fit."""
    if settings.path is None or settings.sha256 is None:
        raise UsageError(f"segmenters.{name}: path and sha256 are needed")
    made = CoarseToFineSegmenter(name, settings.path.absolute(), settings.sha256)
    made.warm()
    return made


def scaled(hu: FloatArray, window_hu: tuple[float, float]) -> FloatArray:
    """HU as the networks see them: the window from -1 to 1."""
    low, high = window_hu
    seen: FloatArray = (np.clip(hu, low, high).astype(np.float32) - np.float32(low)) * np.float32(2.0 / (high - low))
    return seen - np.float32(1.0)


def _whole(volume: Volume, turn: Turn) -> Grid:
    """The grid of a series in the patient's axes."""
    return grid_of(_shape(turn.to_patient(volume.hu)), turn.spacing_zyx_mm)


def _covering(whole: Grid, step_mm: float) -> Grid:
    z, y, x = (Axis.covering(axis, step_mm) for axis in whole)
    return z, y, x


def _probabilities(logits: torch.Tensor) -> FloatArray:
    """(1, classes, z, y, x) as probabilities [class, slice, row, column]."""
    found: FloatArray = torch.softmax(logits[0].float(), dim=0).cpu().numpy()
    return found


def _shape(array: npt.NDArray[Any]) -> tuple[int, int, int]:
    return array.shape[0], array.shape[1], array.shape[2]


def _noise(window_zyx: tuple[int, int, int]) -> FloatArray:
    """(1, 1, z, y, x): a window to compare two ways of running the network with."""
    values = np.random.default_rng(0).normal(0.0, 0.5, (1, 1, *window_zyx))
    return np.clip(values, -1.0, 1.0).astype(np.float32)


def _network(bundle: ZooBundle, plan: Plan) -> CoarseToFine:
    """The network that the configuration describes; only its numbers are taken from there."""
    config = bundle.parser()["network_def"]
    if (
        not isinstance(config, dict)
        or config.get("_target_") != NETWORK
        or not set(config) <= {"_target_", *_ARGUMENTS}
    ):
        raise BundleError(f"{bundle.config}: network_def is not a {NETWORK}", BundleFault.BUNDLE_FORBIDDEN)
    arguments = {name: value for name, value in config.items() if name in _ARGUMENTS}
    if not all(_is_natural(number) for value in arguments.values() for number in _each(value)):
        raise BundleError(
            f"{bundle.config}: network_def has arguments that are not numbers", BundleFault.BUNDLE_FORBIDDEN
        )
    classes = (arguments.get("coarse_classes"), arguments.get("fine_classes"))
    if classes != (plan.coarse.classes, plan.fine.classes):
        raise BundleError(f"{bundle.config}: the network has other classes than the metadata name")
    for organ in Anatomy:
        _require(bundle, plan.coarse, organ_part(organ))
        _require(bundle, plan.fine, organ_part(organ))
        _require(bundle, plan.fine, lesion_part(organ))
    try:
        return CoarseToFine(**arguments)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise BundleError(f"{bundle.config}: network_def cannot be built: {type(error).__name__}") from error


def _require(bundle: ZooBundle, stage: Stage, part: Part) -> None:
    if part not in stage.parts:
        raise BundleError(f"{bundle.metadata}: a stage has no class for the {part}", BundleFault.BUNDLE_METADATA)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_natural(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= np.iinfo(np.int16).max


def _made_by(fields: Fields, bundle: ZooBundle, disclaimer: str) -> str:
    """The bundle and its disclaimer, as every result says it."""
    algorithm = fields.child("algorithm")
    words = f"{algorithm.text('name')}, bundle {bundle.digest[:_DIGEST_CHARACTERS]}"
    return f"{words}; {disclaimer}" if disclaimer else words
