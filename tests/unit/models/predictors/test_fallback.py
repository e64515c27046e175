"""A GPU that is full: the case is tried again alone, then on the CPU, and its answer is the same.

No test of these has a GPU: what torch raises there is raised here by a stand-in for the predictor.
"""

from dataclasses import dataclass, field

import pytest

from models.predictors.fallback import OnCpuInstead
from models.predictors.practice import practice_case
from node.domain.coding import Anatomy
from node.domain.reasons import ReasonCode
from node.errors import DeviceFull, Refused
from tests.fakes import FakePredictor

CASE = practice_case(Anatomy.PANCREAS)


@dataclass
class Gpu:
    """How often the GPU is full before it has room, and what was done about it."""

    full: int
    log: list[str] = field(default_factory=list)

    def use(self) -> None:
        """Run something on it."""
        self.log.append("gpu")
        if self.full:
            self.full -= 1
            raise DeviceFull("no memory left")

    def predictor(self) -> OnCpuInstead:
        """A predictor on it, and one on the CPU behind that."""

        def on_cpu() -> FakePredictor:
            self.log.append("built")
            return FakePredictor(hook=lambda: self.log.append("cpu"))

        return OnCpuInstead(FakePredictor(hook=self.use), on_cpu, lambda: self.log.append("given back"))


@pytest.mark.parametrize(
    ("full", "log"),
    [
        (0, ["gpu"]),
        (1, ["gpu", "given back", "gpu"]),
        (2, ["gpu", "given back", "gpu", "given back", "built", "cpu"]),
    ],
    ids=["room", "room when alone", "no room"],
)
def test_where_a_case_runs(full: int, log: list[str]) -> None:
    """As near to the GPU as there is room, with the same answer."""
    gpu = Gpu(full)
    made = gpu.predictor().predict(CASE)
    assert gpu.log == log
    assert made.scores == FakePredictor().predict(CASE).scores


def test_the_network_on_the_cpu_is_built_once() -> None:
    """And the GPU is tried first each time: the next case may be smaller."""
    gpu = Gpu(4)
    predictor = gpu.predictor()
    for _ in range(2):
        predictor.predict(CASE)
    assert gpu.log.count("built") == 1
    assert gpu.log.count("gpu") == 4


def test_a_refusal_is_a_refusal_wherever_it_runs() -> None:
    """Nothing is tried again that the input is at fault for."""

    def refuse() -> None:
        raise Refused(ReasonCode.INPUT_CONTRACT, "too small")

    predictor = OnCpuInstead(FakePredictor(hook=refuse), FakePredictor, lambda: None)
    with pytest.raises(Refused):
        predictor.predict(CASE)


def test_several_that_are_too_many_for_the_gpu_are_told_so() -> None:
    """Nothing is done elsewhere behind their back: each is asked for alone then."""
    gpu = Gpu(1)
    predictor = gpu.predictor()
    with pytest.raises(DeviceFull):
        predictor.predict_many([CASE, CASE])
    assert gpu.log == ["gpu"]
    assert len(predictor.predict_many([CASE, CASE])) == 2
