"""``make study``: PORCELAIN's seven models on phantoms, from images on disk to Table 2.

Phantoms are not patients: what the table says is whether training, judging and telling work, on lesions whose texture
carries the answer.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Final

import numpy as np
import SimpleITK

from models.preprocessing.itk import to_itk
from models.training.cohort import PhantomSource
from models.training.phantom_cohort import crop, pancreatic

SEED: Final = 77
MARGIN_MM: Final = 20.0
EXTERNAL_SHARE: Final = 4
"""Every fourth pair of a low and a high case is of the external set."""


def main() -> int:
    """The command line; the study's exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.study_phantoms", description=__doc__)
    parser.add_argument("--cases", type=int, default=120)
    parser.add_argument("--folder", type=Path, default=Path("celadon-study"))
    asked, more = parser.parse_known_args()
    cohort = write_cohort(asked.folder / "cohort", asked.cases)
    words = ["porcelain", "--cohort", str(cohort), "--out", str(asked.folder / "out"), "--staged", *more]
    return subprocess.run([sys.executable, "-m", "node", "study", *words], check=False).returncode


def write_cohort(folder: Path, cases: int) -> Path:
    """Crops of phantoms with their masks, clinical values and a made-up follow-up; what is there is kept."""
    folder.mkdir(parents=True, exist_ok=True)
    cohort = pancreatic(cases, SEED)
    generator = np.random.default_rng(SEED)
    variables = sorted(
        {value.variable.value: value.unit for one in cohort.cases for value in one.clinical.values}.items()
    )
    headings = [f"{name}[{unit}]" if unit else name for name, unit in variables]
    lines = [",".join(("case", "image", "mask", "label", "set", "os_months", "os_event", *headings))]
    for number, one in enumerate(cohort.cases):
        if not (folder / f"{number}-mask.nii.gz").is_file() and isinstance(one.source, PhantomSource):
            volume, mask = crop(one.source, MARGIN_MM)
            image = to_itk(volume)
            SimpleITK.WriteImage(SimpleITK.Cast(image, SimpleITK.sitkInt16), str(folder / f"{number}.nii.gz"))
            drawn = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
            drawn.CopyInformation(image)
            SimpleITK.WriteImage(drawn, str(folder / f"{number}-mask.nii.gz"))
        values = {value.variable.value: str(value.value) for value in one.clinical.values}
        months, end = generator.exponential(12 if one.label else 36), generator.uniform(12, 60)
        known = (f"{min(months, end):.2f}", str(int(months <= end)), *(values.get(name, "") for name, _ in variables))
        which = "external" if number // 2 % EXTERNAL_SHARE == EXTERNAL_SHARE - 1 else "development"
        label = ("low", "high")[one.label]
        lines.append(",".join((one.id, f"{number}.nii.gz", f"{number}-mask.nii.gz", label, which, *known)))
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


if __name__ == "__main__":
    sys.exit(main())
