"""A predictor whose GPU may be full: tried again alone, and then on the CPU, where there is room."""

from collections.abc import Callable, Sequence

from node import log
from node.domain.coding import Anatomy
from node.domain.ports import Predictor
from node.domain.prediction import AlgorithmIdentity, Case, Prediction
from node.errors import DeviceFull


class OnCpuInstead:
    """The same bundle on a GPU and, from the first time that this is needed, on the CPU."""

    def __init__(self, first: Predictor, on_cpu: Callable[[], Predictor], give_back: Callable[[], None]) -> None:
        """``give_back`` frees what this process keeps on the GPU beside the networks."""
        self._first, self._build, self._give_back = first, on_cpu, give_back
        self._on_cpu: Predictor | None = None
        # The bundle's: where it runs changes no result by more than its rounding.
        self.identity: AlgorithmIdentity = first.identity
        self.anatomy: Anatomy = first.anatomy

    def warm(self) -> None:
        """Warm the GPU; the CPU is warmed when it is needed."""
        self._first.warm()

    def predict(self, case: Case) -> Prediction:
        """The prediction, wherever there is room. Raises as the predictor."""
        for _ in range(2):
            try:
                return self._first.predict(case)
            except DeviceFull:
                # With nothing of this process left there, the second attempt has the GPU as much to itself as can be.
                self._give_back()
        log.get().warning(log.GPU_FULL, predictor=self.identity.name)
        if self._on_cpu is None:
            self._on_cpu = self._build()
            self._on_cpu.warm()
        return self._on_cpu.predict(case)

    def predict_many(self, cases: Sequence[Case]) -> tuple[Prediction | Exception, ...]:
        """All on the GPU; whoever finds that there is no room for them together asks for one at a time."""
        return self._first.predict_many(cases)
