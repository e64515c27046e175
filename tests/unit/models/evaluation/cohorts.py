"""Cohorts for tests: files as a site would write them, with an answer that is known in parts."""

from pathlib import Path

import numpy as np

CLASSES = ("T1", "T2", "T3", "T4")


def write_cohort(folder: Path, cases: int = 90, seed: int = 3) -> tuple[Path, Path]:
    """Two variants of which A is better, two sets, three centres, follow-up and a second reader."""
    generator = np.random.default_rng(seed)
    said = ["case,variant,p_T1,p_T2,p_T3,p_T4,digest,excluded"]
    true = ["case,label,set,centre,sex,age_years,thickness_mm,os_months,os_event,reader_EUS,covariate_cea"]
    for index in range(cases):
        stage = index % 4
        for variant, sharpness in (("A", 2.2), ("B", 0.7)):
            logits = generator.normal(0, 1, 4)
            logits[stage] += sharpness
            shares = np.exp(logits) / np.exp(logits).sum()
            numbers = ",".join(f"{share:.6f}" for share in shares)
            said.append(f"c{index},{variant},{numbers},{'ab' * 32 if variant == 'A' else 'cd' * 32},")
        months, end = generator.exponential(50 / (1 + stage)), generator.uniform(5, 70)
        eus = CLASSES[min(3, max(0, stage + int(generator.integers(-1, 2))))]
        true.append(
            f"c{index},{CLASSES[stage]},{'external' if index % 3 == 0 else 'internal'},{'XYZ'[index % 3]},"
            f"{'FM'[index % 2]},{45 + index % 40},{(1, 2.5, 5)[index % 3]},{min(months, end):.2f},{int(months <= end)},"
            f"{eus},{generator.lognormal(1, 0.5):.2f}"
        )
    said += ["gone,A,,,,,,no portal-venous phase", "gone,B,,,,,,no portal-venous phase"]
    files = folder / "predictions.csv", folder / "labels.csv"
    for file, lines in zip(files, (said, true), strict=True):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files


def write_narrow_cohort(folder: Path, cases: int = 40, seed: int = 3) -> tuple[Path, Path]:
    """One variant in one set, without follow-up or readers: all that a test of a command needs of a report."""
    generator = np.random.default_rng(seed)
    said, true = ["case,variant,p_T1,p_T2,p_T3,p_T4,digest"], ["case,label,set"]
    for index in range(cases):
        shares = generator.dirichlet([1.0 + 3.0 * (stage == index % 4) for stage in range(4)])
        said.append(f"c{index},A,{','.join(f'{share:.6f}' for share in shares)},{'ab' * 32}")
        true.append(f"c{index},{CLASSES[index % 4]},external")
    files = folder / "predictions.csv", folder / "labels.csv"
    for file, lines in zip(files, (said, true), strict=True):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return files
