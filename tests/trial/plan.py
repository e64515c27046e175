"""The plan of a trial: which phantoms are sent, in which order. The same arguments give the same plan.

Seeds lie far from every cohort that a shipped bundle was trained on: a cohort of seed ``c`` draws its phantoms from
``c * SPAN`` up (``models.training.phantom_cohort``), and ``FIRST_COHORT`` is beyond all of them.
"""

from dataclasses import dataclass
from typing import Final

from models.phantoms import Kind, Phase, Wanted
from models.phantoms.spec import T_STAGES
from models.training.phantom_cohort import SPAN

FIRST_COHORT: Final = 9_000
"""Of the trial with seed 0; no training uses cohorts from here on."""
_ORDER: Final = "PGPGPGNPGWPG" + "PGNPGPGWPGNPG"
"""P pancreatic, G gastric, N normal, W another phase: so that every dozen holds some of each."""
_OTHER_PHASES: Final = (Phase.ARTERIAL, Phase.NON_CONTRAST, Phase.DELAYED, Phase.ARTERIAL)
_KINDS: Final = {"P": Kind.PANCREATIC, "G": Kind.GASTRIC, "N": Kind.NORMAL}


@dataclass(frozen=True, slots=True)
class Planned:
    """One study of a trial."""

    number: int
    """From 1."""
    seed: int
    wanted: Wanted
    timed: bool | None
    """Whether the header says when the injection began; None: as the seed has it."""

    @property
    def name(self) -> str:
        """What its folder is called: another plan of the same seed is another study."""
        asked = self.wanted
        parts = (asked.kind, asked.phase, asked.t_stage, asked.ntr_high, asked.thickness_mm, self.timed)
        return "-".join([str(self.seed), *("x" if part is None else f"{part}" for part in parts)])


def plan(studies: int, seed: int, thickness_mm: float | None = None) -> tuple[Planned, ...]:
    """The first ``studies`` of the trial ``seed``; ``thickness_mm`` of every series, None: as the scanner draws it.

    Of 25, ten are pancreatic (NTR low and high in turn), ten gastric (T1 to T4 in turn), three have no lesion, and two
    were taken in another phase, one of them without a word of it in the header.
    """
    counts = dict.fromkeys(_ORDER, 0)
    made = []
    for index in range(studies):
        letter = _ORDER[index % len(_ORDER)]
        wanted, timed = _wanted(letter, counts[letter], thickness_mm)
        counts[letter] += 1
        made.append(Planned(index + 1, (FIRST_COHORT + seed) * SPAN + index, wanted, timed))
    return tuple(made)


def _wanted(letter: str, count: int, thickness_mm: float | None) -> tuple[Wanted, bool | None]:
    """What the study ``count`` of its sort is to be."""
    if letter == "W":
        kind = (Kind.PANCREATIC, Kind.GASTRIC)[count % 2]
        # The first without a time: there, the brightness of the vessels is all that speaks of the phase.
        return Wanted(kind=kind, phase=_OTHER_PHASES[count % len(_OTHER_PHASES)], thickness_mm=thickness_mm), (
            count % 2 == 1
        )
    kind = _KINDS[letter]
    stage = T_STAGES[count % len(T_STAGES)] if kind is Kind.GASTRIC else None
    high = count % 2 == 1 if kind is Kind.PANCREATIC else None
    return Wanted(kind=kind, t_stage=stage, ntr_high=high, thickness_mm=thickness_mm), None
