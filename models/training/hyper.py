"""The hyper-parameters of a training, with names that are typed on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Final, Self

from node.errors import UsageError

OPTIMISERS: Final = ("adamw", "adam")
SCHEDULES: Final = ("sgdr", "constant", "cosine")
CRITERIA: Final = ("auc", "loss")
PRECISIONS: Final = ("fp32", "bf16")
_IDLE: Final[Mapping[str, float]] = MappingProxyType(
    {"sparsity": 0.0, "hard_share": 1.0, "turned_share": 0.0, "anywhere_share": 0.0, "warm_up_epochs": 0.0}
)
"""Values with which a parameter does nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyper:
    """Everything that a search may change."""

    optimiser: str
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    """At most."""
    patience: int
    """Epochs without a better validation after which training stops."""
    judge_every: int = 1
    """Epochs from one validation to the next; the last epoch has one however that falls."""
    stop_on: str = "auc"
    """What of the validation decides: the area under the ROC curve (macro for several classes), or the loss."""
    schedule: str = "constant"
    cycle_epochs: int = 10
    """The first cycle of SGDR."""
    cycle_growth: int = 2
    """How many times longer each next cycle is."""
    warm_up_epochs: float = 0.0
    sparsity: float = 0.0
    """The weight of TabNet's sparsity term."""
    precision: str = "fp32"
    """Of the convolutions and matrices of a step; bf16 takes half the time where the processor has it. Weights, their
    changes and every judgement are fp32 whatever it is."""
    norm_momentum: float = 0.1
    """Of every BatchNorm; EfficientNet's own 0.01 and TabNet's 0.02 are too slow for a short training."""
    hard_share: float = 1.0
    """Of the voxels of a segmenter's batch, those whose cross-entropy counts: the highest."""
    turned_share: float = 0.0
    """Of the windows of a segmenter's fine network, those that are turned and stretched."""
    anywhere_share: float = 0.0
    """Of the same, those around any place of the box: what surrounds the organs is to be known for what it is."""

    def changed(self, settings: Sequence[str]) -> Self:
        """With ``name=value`` from the command line or a search space; UsageError naming what is wrong."""
        kinds: dict[str, type] = {each.name: type(getattr(self, each.name)) for each in fields(self)}
        values: dict[str, Any] = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if not equals or name not in kinds:
                raise UsageError(f"--set {setting}: it is name=value with a name of {', '.join(kinds)}")
            try:
                values[name] = kinds[name](text)
            except ValueError as error:
                raise UsageError(f"--set {setting}: {text!r} is not a {kinds[name].__name__}") from error
        return replace(self, **values).checked()

    def checked(self) -> Self:
        """Itself; UsageError naming what no training can use."""
        wrong = [
            f"{name} is {getattr(self, name)!r}, not one of {', '.join(known)}"
            for name, known in (
                ("optimiser", OPTIMISERS),
                ("schedule", SCHEDULES),
                ("stop_on", CRITERIA),
                ("precision", PRECISIONS),
            )
            if getattr(self, name) not in known
        ]
        wrong += [
            f"{name} is {getattr(self, name)}, below {least}"
            for name, least in (
                ("batch_size", 2),
                ("epochs", 1),
                ("patience", 1),
                ("judge_every", 1),
                ("cycle_epochs", 1),
                ("cycle_growth", 1),
            )
            if getattr(self, name) < least
        ]
        wrong += [
            f"{name} is {getattr(self, name)}, outside [0, 1]"
            for name in ("learning_rate", "weight_decay", "sparsity", "norm_momentum", "turned_share", "anywhere_share")
            if not 0.0 <= getattr(self, name) <= 1.0
        ]
        if not 0.0 < self.hard_share <= 1.0:
            wrong.append(f"hard_share is {self.hard_share}, outside (0, 1]")
        if not 0.0 <= self.warm_up_epochs < float("inf"):
            wrong.append(f"warm_up_epochs is {self.warm_up_epochs}")
        if wrong:
            raise UsageError("--set: " + "; ".join(wrong))
        return self

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)

    def in_use(self) -> dict[str, Any]:
        """By name, without those that do nothing: what somebody reads who wants to know how it was done."""
        idle = {name for name, value in _IDLE.items() if getattr(self, name) == value}
        if self.schedule != "sgdr":
            idle |= {"cycle_epochs", "cycle_growth"}
        return {name: value for name, value in self.as_dict().items() if name not in idle}
