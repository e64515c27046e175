"""A bundle in the layout of MONAI's model zoo, found, checked against its digest, and its parts built.

<name>/
    configs/metadata.json                       labels, versions, intended use
    configs/inference.json (.yaml, .yml)        network_def, preprocessing, inferer, postprocessing
    models/model.safetensors (.pt, .ts)         the weights

The configuration names arbitrary classes and expressions that are called: building the parts of a bundle is running
it. So nothing is read of a bundle but names and bytes before its digest is the one that the settings pin.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Self

from models.bundle_files import digest_of
from node.domain.reasons import BundleFault
from node.errors import BundleError

if TYPE_CHECKING:
    from monai.bundle import ConfigParser
    from torch import nn

METADATA: Final = "configs/metadata.json"
CONFIGS: Final = tuple(f"configs/inference{suffix}" for suffix in (".json", ".yaml", ".yml"))
SAFETENSORS: Final = "models/model.safetensors"
WEIGHTS: Final = (SAFETENSORS, "models/model.pt", "models/model.ts")
"""In order of preference: the first that is there."""
_MOST_FILES: Final = 4096
_DEEPEST: Final = 8
_NESTS: Final = ("state_dict", "model", "network", "net")
"""Under which a checkpoint may keep its tensors."""


@dataclass(frozen=True, slots=True)
class ZooBundle:
    """A bundle whose files are there and whose digest is as expected; nothing of it has been run."""

    path: Path
    digest: str
    config: Path
    weights: Path
    metadata: Path

    @classmethod
    def open(cls, path: Path, sha256: str) -> Self:
        """Raises BundleError when a file is missing, a link leads away, or the digest is another."""
        files = _files(path)
        digest = digest_of(files)
        if digest != sha256.lower():
            why = f"the digest is {digest}, and {sha256.lower()} is pinned"
            raise BundleError(f"{path}: {why}", BundleFault.BUNDLE_CHANGED)
        config, weights = _first(path, files, CONFIGS), _first(path, files, WEIGHTS)
        return cls(path, digest, config, weights, _first(path, files, (METADATA,)))

    def parser(self) -> "ConfigParser":
        """The configuration with its metadata, read and not yet resolved.

        Raises BundleError when it is no configuration.
        """
        from monai.bundle import ConfigParser  # noqa: PLC0415  seconds of imports, for those who run a bundle alone

        parser = ConfigParser()
        try:
            parser.read_config(str(self.config))
            parser.read_meta(str(self.metadata))
        except (OSError, ValueError, RuntimeError, ImportError) as error:
            why = f"cannot be read as MONAI's: {type(error).__name__}"
            raise BundleError(f"{self.config}: {why}", BundleFault.BUNDLE_METADATA) from error
        parser["bundle_root"] = str(self.path)
        return parser

    def fill(self, network: "nn.Module") -> None:
        """Load the weights into ``network``, every tensor of it, by safetensors or by torch without pickled code.

        Raises BundleError when they do not fit.
        """
        import torch  # noqa: PLC0415  as above
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.torch import load_model  # noqa: PLC0415

        try:
            if self.weights.name.endswith(".safetensors"):
                load_model(network, self.weights, strict=True)
            else:
                network.load_state_dict(_tensors(torch.load(self.weights, map_location="cpu", weights_only=True)))
        except (OSError, RuntimeError, SafetensorError, ValueError, TypeError, EOFError, KeyError) as error:
            why = " ".join(str(error).split())[:300]
            raise BundleError(f"{self.weights}: does not fit the network: {why}") from error
        except Exception as error:
            # torch tells a file with code in it by an error of pickle's, which is imported nowhere here.
            if type(error).__name__ != "UnpicklingError":
                raise
            raise BundleError(f"{self.weights}: is not tensors alone", BundleFault.BUNDLE_FORBIDDEN) from error


def digest(path: Path) -> str:
    """SHA-256 over the whole bundle: what the settings pin. Raises BundleError."""
    return digest_of(_files(path))


def _tensors(checkpoint: Any) -> Any:
    """The tensors of a checkpoint, wherever it keeps them."""
    if isinstance(checkpoint, dict):
        for name in _NESTS:
            if isinstance(checkpoint.get(name), dict):
                return checkpoint[name]
    return checkpoint


def _first(path: Path, files: Mapping[str, Path], names: tuple[str, ...]) -> Path:
    for name in names:
        if name in files:
            return files[name]
    raise BundleError(f"{path}: has none of {', '.join(names)}", BundleFault.BUNDLE_MISSING)


def _files(path: Path) -> Mapping[str, Path]:
    """Every file of the bundle by its name inside it, in order of the names."""
    if path.is_symlink() or not path.is_dir():
        raise BundleError(f"{path}: there is no such bundle", BundleFault.BUNDLE_MISSING)
    found: dict[str, Path] = {}
    for name, file in _walk(path, "", 0):
        found[name] = file
        if len(found) > _MOST_FILES:
            raise BundleError(f"{path}: holds more than {_MOST_FILES} files", BundleFault.BUNDLE_TOO_LARGE)
    return MappingProxyType(dict(sorted(found.items())))


def _walk(folder: Path, inside: str, depth: int) -> Iterator[tuple[str, Path]]:
    if depth > _DEEPEST:
        raise BundleError(f"{folder}: no bundle has folders this deep", BundleFault.BUNDLE_FORBIDDEN)
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be read: {error.strerror}", BundleFault.BUNDLE_UNREADABLE) from error
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(Path(entry.path), f"{inside}{entry.name}/", depth + 1)
        elif stat.S_ISREG(mode):
            yield f"{inside}{entry.name}", Path(entry.path)
        else:
            # What a link leads to can change without the digest.
            raise BundleError(f"{entry.path}: is a link or a device, not a file", BundleFault.BUNDLE_FORBIDDEN)
