"""A trained coarse-to-fine network written as a bundle in MONAI's layout; the same network gives the same bytes."""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save

from models.networks.segmenter import CoarseToFine
from models.segmenters import zoo
from models.segmenters.coarse_to_fine import NETWORK
from models.segmenters.plan import Plan, Stage
from node.domain.prediction import TrainingStatus

_CARD: Final = "docs/README.md"
_INDENT: Final = 4


@dataclass(frozen=True, slots=True)
class About:
    """What the bundle says of itself."""

    name: str
    version: str
    status: TrainingStatus
    disclaimer: str
    """What every result says beside the numbers; only a validated bundle may leave it empty."""
    data_source: str
    description: str
    intended_use: str
    card: str
    """Markdown: what it was trained on, how well it does, what it must not be used for."""
    manufacturer: str = "The Celadon authors"


@dataclass(frozen=True, slots=True)
class Widths:
    """Channels of the five levels of each network, and of its last, as ``models.networks.segmenter.FEATURES``."""

    coarse: tuple[int, ...]
    fine: tuple[int, ...]


def write(folder: Path, network: CoarseToFine, plan: Plan, widths: Widths, about: About) -> str:
    """Write the bundle into ``folder``, which must not exist, and return its digest.

    Raises:
        ValueError: ``about`` has no disclaimer and the bundle is not validated.
        FileExistsError: ``folder`` is there.
    """
    if not about.disclaimer and about.status is not TrainingStatus.VALIDATED:
        raise ValueError("a bundle that is not validated needs a disclaimer")
    for part in ("configs", "docs", "models"):
        (folder / part).mkdir(parents=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(network.state_dict().items())}
    (folder / zoo.SAFETENSORS).write_bytes(save(tensors))
    _write_json(folder / zoo.CONFIGS[0], _config(plan, widths))
    _write_json(folder / zoo.METADATA, _metadata(plan, about))
    (folder / _CARD).write_text(about.card, encoding="utf-8")
    return zoo.digest(folder)


def _config(plan: Plan, widths: Widths) -> dict[str, Any]:
    return {
        "bundle_root": ".",
        "network_def": {
            "_target_": NETWORK,
            "coarse_classes": plan.coarse.classes,
            "fine_classes": plan.fine.classes,
            "coarse_features": list(widths.coarse),
            "fine_features": list(widths.fine),
        },
    }


def _metadata(plan: Plan, about: About) -> dict[str, Any]:
    return {
        "version": about.version,
        "changelog": {about.version: about.description},
        "monai_version": version("monai"),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {},
        "name": about.name,
        "task": "Pancreas, stomach and their lesions in portal-venous abdominal CT, in two stages",
        "description": about.description,
        "authors": about.manufacturer,
        "copyright": f"{about.manufacturer}, Apache-2.0",
        "intended_use": about.intended_use,
        "data_source": about.data_source,
        "data_type": "CT volume",
        "image_classes": "single-channel CT in HU, portal-venous phase",
        "pred_classes": ", ".join(plan.fine.parts),
        "network_data_format": {
            "inputs": {"image": _input(plan)},
            "outputs": {"coarse": _output(plan.coarse), "fine": _output(plan.fine)},
        },
        "celadon": {
            "algorithm": {
                "name": about.name,
                "manufacturer": about.manufacturer,
                "family": "Deep neural network",
            },
            "status": about.status.value,
            "disclaimer": about.disclaimer,
            "weights": {"file": zoo.SAFETENSORS},
            "segmenter": plan.written(),
        },
    }


def _input(plan: Plan) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "hounsfield",
        "modality": "CT",
        "num_channels": 1,
        "spatial_shape": list(plan.fine.window_zyx),
        "dtype": "float32",
        "value_range": [-1, 1],
        "is_patch_data": True,
        "channel_def": {
            "0": f"CT, HU {plan.window_hu[0]:g} to {plan.window_hu[1]:g} as -1 to 1; slices, rows, columns"
        },
    }


def _output(stage: Stage) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "segmentation",
        "num_channels": stage.classes,
        "spatial_shape": list(stage.window_zyx),
        "dtype": "float32",
        "value_range": [],
        "is_patch_data": True,
        "channel_def": {"0": "background", **{str(number): part.value for number, part in stage.meaning.items()}},
    }


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=_INDENT) + "\n", encoding="utf-8")
