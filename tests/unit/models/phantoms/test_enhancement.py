"""Boluses: each tissue brightens in its phase, in the order that radiology teaches."""

from itertools import product

import numpy as np
import pytest

from models.phantoms.enhancement import DELAYS_S, Enhancement, Phase, Tissue, draw


def middle(phase: Phase) -> Enhancement:
    """The usual patient in the middle of a phase."""
    return Enhancement(sum(DELAYS_S[phase]) / 2.0, 1.0, 1.0)


PHASES = {phase: middle(phase) for phase in Phase}


@pytest.mark.parametrize(
    ("tissue", "phase"),
    [
        (Tissue.AORTA, Phase.ARTERIAL),
        (Tissue.PANCREAS, Phase.ARTERIAL),
        (Tissue.PORTAL_VEIN, Phase.PORTAL_VENOUS),
        (Tissue.VENA_CAVA, Phase.PORTAL_VENOUS),
        (Tissue.LIVER, Phase.PORTAL_VENOUS),
        (Tissue.SUBMUCOSA, Phase.DELAYED),
        (Tissue.PANCREATIC_TUMOUR, Phase.DELAYED),
    ],
)
def test_a_tissue_is_brightest_in_its_phase(tissue: Tissue, phase: Phase) -> None:
    """Arteries first, veins and liver next, fibrous tissue last; nothing is darker than without contrast."""
    seen = {one: bolus.hu(tissue) for one, bolus in PHASES.items()}
    assert max(seen, key=lambda one: seen[one]) is phase
    assert min(seen, key=lambda one: seen[one]) is Phase.NON_CONTRAST


@pytest.mark.parametrize(
    ("phase", "brighter", "darker"),
    [
        (Phase.ARTERIAL, Tissue.AORTA, Tissue.PORTAL_VEIN),
        (Phase.ARTERIAL, Tissue.KIDNEY_CORTEX, Tissue.KIDNEY_MEDULLA),
        (Phase.ARTERIAL, Tissue.PANCREAS, Tissue.PANCREATIC_TUMOUR),
        (Phase.ARTERIAL, Tissue.PORTAL_VEIN, Tissue.LIVER),
        (Phase.PORTAL_VENOUS, Tissue.PORTAL_VEIN, Tissue.LIVER),
        (Phase.PORTAL_VENOUS, Tissue.PANCREAS, Tissue.PANCREATIC_TUMOUR),
        (Phase.PORTAL_VENOUS, Tissue.MUCOSA, Tissue.MUSCULARIS),
        (Phase.PORTAL_VENOUS, Tissue.MUSCULARIS, Tissue.SUBMUCOSA),
        (Phase.PORTAL_VENOUS, Tissue.GASTRIC_TUMOUR, Tissue.MUSCULARIS),
        (Phase.PORTAL_VENOUS, Tissue.EARLY_GASTRIC_TUMOUR, Tissue.MUCOSA),
    ],
)
def test_two_tissues_differ_as_they_should(phase: Phase, brighter: Tissue, darker: Tissue) -> None:
    """By 10 HU or more, so that a reader sees it."""
    assert PHASES[phase].hu(brighter) > PHASES[phase].hu(darker) + 10.0


def test_without_contrast_nothing_depends_on_the_bolus() -> None:
    """Strength and circulation are of the contrast."""
    weak, strong = Enhancement(0.0, 0.8, 0.92), Enhancement(0.0, 1.1, 1.08)
    assert all(weak.hu(tissue) == strong.hu(tissue) for tissue in Tissue)
    assert weak.hu(Tissue.LIVER) > weak.hu(Tissue.SPLEEN)


def test_enhancement_is_proportional_to_the_strength() -> None:
    """Half the dose, half the rise."""
    half, whole = Enhancement(70.0, 0.5, 1.0), Enhancement(70.0, 1.0, 1.0)
    for tissue in Tissue:
        native = Enhancement(0.0, 1.0, 1.0).hu(tissue)
        assert half.hu(tissue) - native == pytest.approx((whole.hu(tissue) - native) / 2.0)


def test_a_slow_heart_is_behind() -> None:
    """A tenth slower, it shows at 77 s what others show at 70 s."""
    assert Enhancement(77.0, 1.0, 1.1).hu(Tissue.AORTA) == pytest.approx(Enhancement(70.0, 1.0, 1.0).hu(Tissue.AORTA))


def test_a_real_portal_vein_is_within_what_is_drawn() -> None:
    """131 HU at 96 s; the liver of that series, 89 HU, is one with some fat, its aorta brighter than any drawn."""
    drawn = [Enhancement(96.0, strength, speed) for strength, speed in product((0.78, 1.12), (0.92, 1.08))]
    portal = [one.hu(Tissue.PORTAL_VEIN) for one in drawn]
    assert min(portal) < 131.0 < max(portal)
    assert 0.0 < min(one.hu(Tissue.LIVER) for one in drawn) - 89.0 < 14.0
    assert 0.0 < 177.0 - max(one.hu(Tissue.AORTA) for one in drawn) < 10.0


@pytest.mark.parametrize("phase", Phase)
def test_a_bolus_is_drawn_in_its_phase(phase: Phase) -> None:
    """Within the delays of the phase, or of the protocol where it says."""
    rng = np.random.default_rng(4)
    low, high = DELAYS_S[phase]
    assert all(low <= draw(rng, phase).delay_s <= high for _ in range(200))
    assert all(65.0 <= draw(rng, phase, (65.0, 70.0)).delay_s <= 70.0 for _ in range(200))
