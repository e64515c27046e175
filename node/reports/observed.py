"""What is watched of a result over time: scores, how the input looked, how much was imputed; nothing of the patient."""

from contextlib import suppress
from typing import Any, Final

import numpy as np

from node.domain.reporting import Report

_QUANTILES: Final = {"hu_p05": 5.0, "hu_p95": 95.0}
_LONGEST: Final = 128
"""Characters of a scanner's, a kernel's or a centre's name."""

INPUTS: Final = {
    "hu_mean": "HU in the region, mean",
    "hu_sd": "HU in the region, standard deviation",
    "hu_p05": "HU in the region, 5th percentile",
    "hu_p95": "HU in the region, 95th percentile",
    "volume_ml": "Volume of the region, mL",
    "thickness_mm": "Slice thickness, mm",
    "spacing_mm": "Distance of slices, mm",
}
"""The numbers that describe an input, and how a person calls them; a bundle's reference uses the same keys."""


def observed(report: Report) -> dict[str, Any]:
    """The numbers and words of one result, as JSON."""
    prediction = report.prediction
    return {
        "digest": prediction.algorithm.digest,
        "conclusion": prediction.conclusion.name,
        "scores": {score.quantity.name: float(score.probability) for score in prediction.scores},
        "inputs": _inputs(report),
        "scanner": _words(report, "Manufacturer", "ManufacturerModelName"),
        "kernel": _words(report, "ConvolutionKernel"),
        "centre": _words(report, "InstitutionName"),
        "used": len(prediction.clinical_used),
        "imputed": len(prediction.clinical_imputed),
    }


def _inputs(report: Report) -> dict[str, float]:
    inside = report.volume.hu[report.roi.mask].astype(np.float64)
    found = {"volume_ml": report.roi.volume_ml, "spacing_mm": report.volume.geometry.spacing_xyz_mm[2]}
    if inside.size:
        found |= {"hu_mean": float(inside.mean()), "hu_sd": float(inside.std())}
        found |= {name: float(np.percentile(inside, share)) for name, share in _QUANTILES.items()}
    with suppress(ValueError):  # it has none
        found["thickness_mm"] = float(report.series.attribute("SliceThickness"))
    return {name: round(float(value), 4) for name, value in found.items() if np.isfinite(value)}


def _words(report: Report, *keywords: str) -> str:
    return " ".join(filter(None, (report.series.attribute(one).strip() for one in keywords)))[:_LONGEST]
