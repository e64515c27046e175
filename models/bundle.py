"""A model bundle: the folder a predictor is made from, laid out as MONAI bundles are, checked and with its digest.

<name>/
    configs/metadata.json       MONAI's fields, and ours under ``celadon``
    docs/README.md              the model card
    models/model.safetensors    the weights, where they are not drawn from a seed
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from models.fields import Fields
from node.domain.coding import Anatomy
from node.domain.prediction import AlgorithmIdentity, TrainingStatus
from node.errors import BundleError

if TYPE_CHECKING:
    from models.networks.initial import Network

UNTRAINED: Final = "untrained, for plumbing only"
"""What every object says of a bundle that nobody trained."""

_METADATA: Final = "configs/metadata.json"
_CARD: Final = "docs/README.md"
_TEXTS: Final = (
    "version",
    "monai_version",
    "pytorch_version",
    "task",
    "description",
    "authors",
    "copyright",
    "intended_use",
)
_OBJECTS: Final = ("changelog", "network_data_format")
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
        """Read and check the bundle at ``path``.

        Raises BundleError naming the file and the field when something is absent or wrong, and when the digest is not
        ``expected_digest``.
        """
        digest = _digest(path)
        if expected_digest is not None and digest != expected_digest.lower():
            raise BundleError(f"{path}: the digest is {digest}, not {expected_digest}: the bundle has changed")
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

    def load_into(self, network: "Network") -> None:
        """Fill ``network`` with this bundle's weights, drawn from the seed or read from the file, every tensor of it.

        Raises BundleError when the file is absent or its tensors are not exactly those of the network.
        """
        weights = self.celadon.child("weights")
        if weights.has("seed"):
            from models.networks.initial import draw  # noqa: PLC0415  a bundle can be inspected without torch

            draw(network, weights.natural("seed"))
        else:
            _load_file(self.path / weights.text("file"), network)

    def _parameters(self) -> Iterator[str]:
        """What changes the output, as ``name=value``."""
        for name in ("parameters", "weights"):
            for key, value in self.celadon.child(name).values.items():
                yield f"{key}={value if isinstance(value, str) else json.dumps(value)}"


def shipped(name: str) -> Path:
    """Where the bundle ``name`` lies that comes with Celadon."""
    return Path(__file__).parent / "bundles" / name


def _read(path: Path) -> Fields:
    """The metadata file as checked fields, and the model card beside it."""
    file = path / _METADATA
    if not (path / _CARD).is_file():
        raise BundleError(f"{path / _CARD}: the model card is missing")
    try:
        values: Any = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BundleError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise BundleError(f"{file}: is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise BundleError(f"{file}: is not a JSON object")
    metadata = Fields(file, values)
    for name in _TEXTS:
        metadata.text(name)
    for name in _OBJECTS:
        metadata.child(name)
    return metadata


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


def _digest(path: Path) -> str:
    """SHA-256 over path and content of every file in the order of their paths, less what Python leaves behind."""
    if not path.is_dir():
        raise BundleError(f"{path}: there is no such bundle")
    total = hashlib.sha256()
    for name, file in sorted((file.relative_to(path).as_posix(), file) for file in path.rglob("*") if _counts(file)):
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256")
        total.update(f"{name}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


def _counts(file: Path) -> bool:
    """Whether the file is part of the bundle."""
    return file.is_file() and "__pycache__" not in file.parts and file.suffix != ".pyc" and file.name != "__init__.py"


def _load_file(file: Path, network: "Network") -> None:
    """Read ``file`` into ``network``, strictly."""
    from safetensors import SafetensorError  # noqa: PLC0415  a bundle can be inspected without torch
    from safetensors.torch import load_model  # noqa: PLC0415

    try:
        load_model(network, file, strict=True)
    except OSError as error:
        raise BundleError(f"{file}: cannot be read") from error
    except (RuntimeError, SafetensorError) as error:
        raise BundleError(f"{file}: does not fit the network: {error}") from error
    network.eval()
