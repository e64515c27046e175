"""A model bundle: the folder a predictor is made from, laid out as MONAI bundles are, checked and with its digest.

<name>/
    configs/metadata.json       MONAI's fields, and ours under ``celadon``
    docs/README.md              the model card
    models/model.safetensors    the weights, where they are not drawn from a seed
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from models import registry
from models.bundle_files import CARD, METADATA, WEIGHTS_SUFFIX, contents
from models.bundle_files import digest as digest_of
from models.fields import Fields, shown
from node.domain.coding import Anatomy
from node.domain.prediction import AlgorithmIdentity, TrainingStatus
from node.domain.reasons import BundleFault
from node.errors import BundleError

UNTRAINED: Final = "untrained, for plumbing only"
"""What every object says of a bundle that nobody trained."""

_TEXTS: Final = (
    "version",
    "monai_version",
    "pytorch_version",
    "task",
    "description",
    "authors",
    "copyright",
    "intended_use",
    "data_source",
    "data_type",
    "pred_classes",
)
_CONTRACTS: Final = ("inputs", "outputs")
_ANATOMIES: Final = {anatomy.key: anatomy for anatomy in Anatomy}
_STATUSES: Final = {status.value: status for status in TrainingStatus}


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. ``metadata`` holds MONAI's fields, ``celadon`` our section; the digest speaks for all files."""

    path: Path
    digest: str
    """SHA-256 over all files, lower-case hex."""
    metadata: Fields
    celadon: Fields
    predictor: str
    """The name in ``models.registry.PREDICTORS``."""
    anatomy: Anatomy
    status: TrainingStatus
    disclaimer: str

    @classmethod
    def open(cls, path: Path, expected_digest: str | None = None) -> Self:
        """Read and check the bundle at ``path``, every byte of it.

        Raises BundleError naming the file and the field when something is absent, wrong or more than a bundle may
        hold, and when the digest is not ``expected_digest``.
        """
        digest = digest_of(path)
        if expected_digest is not None and digest != expected_digest.lower():
            why = f"the digest is {digest}, not {expected_digest}: the bundle has changed"
            raise BundleError(f"{path}: {why}", BundleFault.BUNDLE_CHANGED)
        return cls.glance(path, digest)

    @classmethod
    def glance(cls, path: Path, digest: str) -> Self:
        """The bundle with a digest that is believed, not computed: for lists, never for a patient."""
        metadata = _read(path)
        celadon = metadata.child("celadon")
        status = celadon.one_of("status", _STATUSES)
        return cls(
            path=path,
            digest=digest,
            metadata=metadata,
            celadon=celadon,
            predictor=celadon.text("predictor"),
            anatomy=celadon.one_of("anatomy", _ANATOMIES),
            status=status,
            disclaimer=_disclaimer(celadon, status),
        )

    def identity(self) -> AlgorithmIdentity:
        """Which algorithm this is, for every object that names it."""
        algorithm = self.celadon.child("algorithm")
        return AlgorithmIdentity(
            name=algorithm.text("name"),
            version=self.metadata.text("version"),
            manufacturer=algorithm.text("manufacturer"),
            family=algorithm.text("family"),
            digest=self.digest,
            status=self.status,
            disclaimer=self.disclaimer,
            parameters=tuple(self._parameters()),
        )

    def load_into(self, network: Any) -> None:
        """Fill ``network``, a ``models.networks.initial.Network``, with this bundle's weights, every tensor of it.

        Raises BundleError when the file is absent or its tensors are not exactly those of the network.
        """
        # By name, as a predictor is: whoever lists bundles loads no torch.
        registry.resolve("models.weights:load")(self, network)

    def _parameters(self) -> Iterator[str]:
        """What changes the output, as ``name=value``."""
        for name in ("parameters", "weights"):
            for key, value in self.celadon.child(name).values.items():
                yield f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def shipped(name: str) -> Path:
    """Where the bundle ``name`` lies that comes with Celadon."""
    return Path(__file__).parent / "bundles" / name


def _read(path: Path) -> Fields:
    """The metadata file as checked fields, and the files that a bundle must have."""
    files = contents(path)
    for name in (METADATA, CARD):
        if name not in files:
            raise BundleError(f"{path / name}: is missing", BundleFault.BUNDLE_MISSING)
    metadata = Fields(files[METADATA], _json(files[METADATA]))
    for name in _TEXTS:
        metadata.text(name)
    metadata.child("changelog")
    contract = metadata.child("network_data_format")
    for name in _CONTRACTS:
        if not contract.child(name).values:
            raise contract.wrong(name, "is empty")
    celadon = metadata.child("celadon")
    celadon.text("decision")
    weights = celadon.child("weights")
    if weights.has("file") == weights.has("seed"):
        raise celadon.wrong("weights", "names either a file or a seed")
    if weights.has("file"):
        # Only what was found inside the bundle can be named: no path leads out of it.
        name = weights.text("file")
        if name not in files or not name.endswith(WEIGHTS_SUFFIX):
            raise weights.wrong("file", f"is {shown(name)}, which is no {WEIGHTS_SUFFIX} file of this bundle")
    return metadata


def _json(file: Path) -> dict[str, Any]:
    """The JSON object in ``file``, which says nothing twice and has only finite numbers."""
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_once, parse_constant=_no_constant)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}", BundleFault.BUNDLE_UNREADABLE) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{file}: is not JSON: {error}", BundleFault.BUNDLE_METADATA) from error
    if not isinstance(values, dict):
        raise BundleError(f"{file}: is not a JSON object", BundleFault.BUNDLE_METADATA)
    return values


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError when it has a field twice, since readers differ in which one they take."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"field {shown(name)} is there twice")
        values[name] = value
    return values


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _disclaimer(celadon: Fields, status: TrainingStatus) -> str:
    """What every object must say; the status decides what may stand there."""
    if celadon.child("weights").has("seed") and status is not TrainingStatus.UNTRAINED:
        raise celadon.wrong("status", f"is {status.value!r}, but weights drawn from a seed are untrained")
    if status is TrainingStatus.VALIDATED and not celadon.values.get("disclaimer"):
        return ""
    disclaimer = celadon.text("disclaimer")
    if status is TrainingStatus.UNTRAINED and disclaimer != UNTRAINED:
        raise celadon.wrong("disclaimer", f"is {disclaimer!r}; an untrained bundle says {UNTRAINED!r}")
    return disclaimer
