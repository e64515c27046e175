"""The registry names classes that exist and costs nothing to read."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.bundle import Bundle, shipped
from models.registry import PREDICTORS, SEGMENTERS, resolve
from node.domain.ports import Predictor, Segmenter
from tests.drawn import drawn

ROOT = Path(__file__).resolve().parents[3]


def test_reading_the_registry_loads_no_model_library() -> None:
    """Nor does importing what lists, checks and chooses bundles."""
    code = "import sys, models.registry, models.bundle, models.selection; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("name", PREDICTORS)
def test_every_predictor_has_a_bundle_of_its_own(name: str) -> None:
    """Each registered predictor class carries its name, and a shipped bundle asks for it."""
    predictor: type = resolve(PREDICTORS[name])  # type: ignore[assignment]
    assert predictor.name == name
    assert Bundle.open(shipped(name)).predictor == name


@pytest.mark.parametrize("name", SEGMENTERS)
def test_every_segmenter_fits_its_port(name: str) -> None:
    """Each registered segmenter can be built with nothing, implements the port and carries its name."""
    segmenter = resolve(SEGMENTERS[name])()
    assert isinstance(segmenter, Segmenter)
    assert segmenter.name == name


@pytest.mark.parametrize("name", PREDICTORS)
def test_every_predictor_fits_its_port(name: str, request: pytest.FixtureRequest) -> None:
    """A loaded predictor implements the port, and its identity and anatomy are those of its bundle."""
    predictor = request.getfixturevalue(name)
    bundle = Bundle.open(drawn(name) if name == "gtrnet" else shipped(name))
    assert isinstance(predictor, Predictor)
    assert predictor.identity == bundle.identity()
    assert predictor.anatomy is bundle.anatomy
    predictor.warm()
