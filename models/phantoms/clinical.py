"""What the records say of a phantom's patient: variables that lean on the truth as the two papers report, with gaps.

PORCELAIN: N stage, CA19-9 and CEA lead the clinical branch; peripheral NLR does not follow tissue NTR (r = 0.02); the
rest is weaker or noise, with the marginals of Table 1. They are drawn from the latent, never from the status beside
it, so the ceiling of ``models.phantoms.latent`` holds for image and records together. GTRNet: size, differentiation
and Lauren type lean on T with the marginals of Table 1 where stages are equally frequent.
"""

from typing import Final

import numpy as np

from models.phantoms.latent import NtrTruth
from node.domain.clinical import ClinicalRecord, ClinicalValue, ClinicalVariable

SOURCE: Final = "phantom"
MISSING_SHARE: Final = 0.06
"""The share of laboratory values that nobody measured."""
_V = ClinicalVariable
_NEVER_MISSING: Final = frozenset({_V.AGE, _V.SEX, _V.LESION_SITE, _V.CLINICAL_T, _V.TUMOUR_SIZE})
_SITES: Final = {True: "head", False: "body-tail"}

# Variable: unit, centre, spread, weight of the latent (in spreads a unit of z), whether log-normal (then centre and
# spread are of the natural logarithm). Reference ranges of adults; tumour markers as in resectable disease.
_LABORATORY: Final = {
    _V.CA19_9: ("U/mL", 4.7, 1.15, 0.42, True),
    _V.CEA: ("ng/mL", 1.15, 0.62, 0.34, True),
    _V.CA125: ("U/mL", 2.8, 0.6, 0.12, True),
    _V.WBC: ("10*9/L", 6.2, 1.6, 0.04, False),
    _V.NEUTROPHILS: ("10*9/L", 3.9, 1.2, 0.04, False),
    _V.LYMPHOCYTES: ("10*9/L", 1.55, 0.45, -0.03, False),
    _V.MONOCYTES: ("10*9/L", 0.46, 0.14, 0.0, False),
    _V.HAEMOGLOBIN: ("g/L", 128.0, 15.0, 0.0, False),
    _V.PLATELETS: ("10*9/L", 215.0, 62.0, 0.0, False),
    _V.ALBUMIN: ("g/L", 39.5, 4.4, -0.08, False),
    _V.GLOBULIN: ("g/L", 27.5, 4.0, 0.03, False),
    _V.ALT: ("U/L", 3.7, 0.95, 0.0, True),
    _V.AST: ("U/L", 3.6, 0.75, 0.0, True),
    _V.ALP: ("U/L", 4.9, 0.65, 0.05, True),
    _V.GGT: ("U/L", 4.5, 1.3, 0.05, True),
    _V.BILIRUBIN_TOTAL: ("umol/L", 3.1, 1.1, 0.0, True),
}
_LEAST: Final = 0.05
"""No laboratory value is zero or less."""
_N_CUTS: Final = (0.42, 1.75)
"""On 0.62 z + noise: close to PORCELAIN's 62, 28 and 10 % of N0, N1 and N2."""
_N_WEIGHT: Final = 0.62
_DIRECT_SHARE: Final = (0.25, 0.75)

_DIFFERENTIATION: Final = {1: (0.28, 0.42, 0.30), 2: (0.14, 0.42, 0.44), 3: (0.05, 0.34, 0.61), 4: (0.03, 0.26, 0.71)}
"""Well, moderate, poor by T stage; the mean is GTRNet's 12, 36 and 52 %."""
_LAUREN: Final = {1: (0.56, 0.28, 0.16), 2: (0.43, 0.30, 0.27), 3: (0.30, 0.29, 0.41), 4: (0.22, 0.28, 0.50)}
"""Intestinal, mixed, diffuse by T stage; the mean is GTRNet's 38, 29 and 34 %."""


def draw(
    rng: np.random.Generator, *, ntr: NtrTruth | None, gastric_t: int | None, size_mm: float, head: bool
) -> ClinicalRecord:
    """The record of one patient.

    Args:
        rng: the patient's own stream for this.
        ntr: the truth about a pancreatic tumour, None without one.
        gastric_t: the T stage of a gastric tumour, None without one.
        size_mm: the longest diameter of the largest lesion; 0 without one.
        head: whether a pancreatic tumour lies in the head.
    """
    values = _person(rng) | _laboratory(rng, 0.0 if ntr is None else ntr.latent)
    if ntr is not None:
        values |= _pancreatic(rng, ntr, size_mm, head=head)
    if gastric_t is not None:
        values |= _gastric(rng, gastric_t, size_mm)
    missing = rng.random(len(ClinicalVariable)) < MISSING_SHARE
    gaps = {variable for variable, gone in zip(ClinicalVariable, missing, strict=True) if gone} - _NEVER_MISSING
    return ClinicalRecord(
        tuple(
            ClinicalValue(variable, value, unit, SOURCE)
            for variable, (value, unit) in values.items()
            if variable not in gaps
        )
    )


_Values = dict[ClinicalVariable, tuple[float | str, str]]


def _person(rng: np.random.Generator) -> _Values:
    female = bool(rng.random() < 0.45)  # noqa: PLR2004 — between PORCELAIN's centres (37 and 50 %)
    age = float(np.clip(rng.normal(63.0, 10.2), 30, 90))
    height = float(rng.normal(160.0 if female else 171.0, 6.5))
    bmi = float(np.clip(rng.normal(22.6, 3.4), 15.5, 38.0))
    return {
        _V.AGE: (round(age), "a"),
        _V.SEX: ("F" if female else "M", ""),
        _V.HEIGHT: (round(height) / 100.0, "m"),
        _V.WEIGHT: (round(bmi * (height / 100.0) ** 2, 1), "kg"),
    }


def _laboratory(rng: np.random.Generator, latent: float) -> _Values:
    values: _Values = {}
    for variable, (unit, centre, spread, weight, is_log) in _LABORATORY.items():
        level = centre + spread * (weight * latent + float(rng.standard_normal()))
        number = float(np.exp(level)) if is_log else max(level, _LEAST * centre)
        values[variable] = (float(f"{number:.3g}"), unit)
    total = float(values[_V.BILIRUBIN_TOTAL][0])
    values[_V.BILIRUBIN_DIRECT] = (float(f"{total * float(rng.uniform(*_DIRECT_SHARE)):.3g}"), "umol/L")
    return values


def _pancreatic(rng: np.random.Generator, ntr: NtrTruth, size_mm: float, *, head: bool) -> _Values:
    level = _N_WEIGHT * ntr.latent + float(rng.standard_normal())
    # AJCC 8: T1 to 20 mm, T2 to 40 mm, T3 above.
    stage = "T1" if size_mm <= 20.0 else "T2" if size_mm <= 40.0 else "T3"  # noqa: PLR2004 — the staging's own numbers
    return {
        _V.CLINICAL_T: (stage, ""),
        _V.CLINICAL_N: (f"N{sum(level > cut for cut in _N_CUTS)}", ""),
        _V.LESION_SITE: (_SITES[head], ""),
        _V.TUMOUR_SIZE: (round(size_mm, 1), "mm"),
    }


def _gastric(rng: np.random.Generator, t_stage: int, size_mm: float) -> _Values:
    return {
        _V.TUMOUR_SIZE: (round(size_mm, 1), "mm"),
        _V.DIFFERENTIATION: (str(rng.choice(("well", "moderate", "poor"), p=_DIFFERENTIATION[t_stage])), ""),
        _V.LAUREN_TYPE: (str(rng.choice(("intestinal", "mixed", "diffuse"), p=_LAUREN[t_stage])), ""),
    }
