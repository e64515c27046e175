"""``python -m models.segmenters.bundle_runner``: one MONAI bundle run once on one volume, in a confined process.

The bundle's configuration may name any class and expression, so whoever pins its digest trusts its code with the
images; beyond them it can read files, compute, and write to the one open file that it was given, in bounded memory and
time. Of the configuration only ``preprocessing``, ``network_def``, ``inferer`` and ``postprocessing`` are used: what
loads from and saves to files is left out, and the volume handed over instead.
"""

import argparse
import json
import os
import sys
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from models.confinement import Bounds, confine
from models.segmenters.zoo import ZooBundle
from node.domain.reasons import BundleFault
from node.errors import BundleError

_FILES: Final = ("LoadImage", "LoadImaged", "LoadImageD", "LoadImageDict", "SaveImage", "SaveImaged", "SaveImageD")
"""Transforms that are left out (``SaveImageDict`` with them, by its start)."""
_IMAGE: Final = "image"
_PREDICTION: Final = "pred"
_GIB: Final = 2**30
_NEAR_MM: Final = 1e-2


class Unusable(Exception):
    """What the bundle made cannot be used; says why, without anything of the patient's."""


def run(bundle: ZooBundle, hu_xyz: npt.NDArray[np.float32], affine_ras: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """The label map [x, y, z] that the bundle makes of a volume.

    Raises BundleError when the bundle cannot be built, Unusable when its result has another shape or place.
    """
    import torch  # noqa: PLC0415  after the process has set how many threads there are
    from monai.data import MetaTensor, decollate_batch, list_data_collate  # noqa: PLC0415

    parser = bundle.parser()
    parser["device"] = "$torch.device('cpu')"
    if "imports" in parser:
        parser.get_parsed_content("imports")
    has_channel = _without_files(parser, "preprocessing")
    _without_files(parser, "postprocessing")
    before, network, inferer, after = _parts(bundle, parser)
    meta = {"original_channel_dim": float("nan"), "spatial_shape": np.array(hu_xyz.shape), "filename_or_obj": "volume"}
    image = MetaTensor(hu_xyz, affine=torch.from_numpy(affine_ras), meta=meta)
    image.meta["original_affine"] = affine_ras
    if has_channel:
        image = image[None]
        image.meta["original_channel_dim"] = 0
    with torch.inference_mode():
        item = before({_IMAGE: image})
        batch = list_data_collate(item if isinstance(item, list) else [item])
        batch[_PREDICTION] = inferer(batch[_IMAGE], network)
        (done,) = (after(one) for one in decollate_batch(batch))
    return _labels(done[_PREDICTION], hu_xyz.shape, affine_ras)


def _parts(bundle: ZooBundle, parser: Any) -> tuple[Any, Any, Any, Any]:
    """What comes before the network, the network with its weights, how it is run, and what comes after."""
    import torch  # noqa: PLC0415  as above
    from monai.inferers import SimpleInferer  # noqa: PLC0415
    from monai.transforms import Compose  # noqa: PLC0415

    try:
        if bundle.weights.name.endswith(".ts"):
            network = torch.jit.load(str(bundle.weights), map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
        else:
            network = parser.get_parsed_content("network_def")
            bundle.fill(network)
        named = (("preprocessing", Compose), ("inferer", SimpleInferer), ("postprocessing", Compose))
        before, inferer, after = (
            parser.get_parsed_content(name) if name in parser else plain() for name, plain in named
        )
    except BundleError:
        raise
    except Exception as error:
        # Whatever a class that nobody here knows fails with.
        why = f"{type(error).__name__} while its parts are built"
        raise BundleError(f"{bundle.config}: {why}", BundleFault.BUNDLE_UNFIT) from error
    return before, network.eval(), inferer, after


def _without_files(parser: Any, name: str) -> bool:
    """Leave out the transforms that load and save; whether one that loads would have made a channel."""
    if name not in parser or "transforms" not in (parser[name] or {}):
        return False
    listed = parser[f"{name}::transforms"]
    parser[f"{name}::transforms"] = [one for one in listed if not _is_of_files(one)]
    return any(bool(one.get("ensure_channel_first")) for one in listed if _is_of_files(one))


def _is_of_files(transform: Any) -> bool:
    target = str(transform.get("_target_", "")) if isinstance(transform, dict) else ""
    return target.rpartition(".")[2].startswith(_FILES)


def _labels(prediction: Any, shape: tuple[int, ...], affine_ras: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
    """Channels as labels: one is the label map itself, of several the largest counts."""
    array = np.asarray(prediction.cpu())
    if array.ndim != len(shape) + 1 or array.shape[1:] != shape:
        raise Unusable("its label map has another shape than the series")
    affine = getattr(prediction, "affine", None)
    if affine is not None and not np.allclose(np.asarray(affine), affine_ras, atol=_NEAR_MM):
        raise Unusable("its label map lies elsewhere than the series")
    labels: npt.NDArray[Any] = array[0] if len(array) == 1 else array.argmax(axis=0)
    return labels


def main() -> int:
    """Run, write, say; 1 with the fault on standard output."""
    options = _options()
    warnings.simplefilter("ignore")
    try:
        with redirect_stdout(sys.stderr), os.fdopen(options.answer_fd, "wb") as answer:
            labels = _run_confined(options)
            np.save(answer, labels)
    except BundleError as error:
        return _say({"fault": error.fault.name, "detail": error.detail}, 1)
    except Unusable as error:
        return _say({"unusable": str(error)}, 0)
    return _say({"labels": list(labels.shape)}, 0)


def _run_confined(options: argparse.Namespace) -> npt.NDArray[Any]:
    import monai.bundle  # noqa: PLC0415  loaded before memory is counted
    import monai.transforms  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415

    torch.set_num_threads(options.threads)
    bundle = ZooBundle.open(options.bundle, options.sha256)
    hu = np.load(options.volume, allow_pickle=False)
    affine = np.array(json.loads(options.affine), dtype=np.float64)
    # The largest answer: a label map in double precision.
    confine(Bounds(int(options.memory_gb * _GIB), int(options.cpu_s), hu.size * 8 + 4096))
    return run(bundle, hu, affine)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--sha256", required=True)
    parser.add_argument("--volume", type=Path, required=True)
    parser.add_argument("--affine", required=True)
    parser.add_argument("--answer-fd", type=int, required=True)
    parser.add_argument("--memory-gb", type=float, required=True)
    parser.add_argument("--cpu-s", type=float, required=True)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _say(answer: dict[str, Any], code: int) -> int:
    print(json.dumps(answer))  # noqa: T201 — the answer
    return code


if __name__ == "__main__":
    sys.exit(main())
