"""Checked access to the fields of a bundle's metadata: what is absent or of the wrong kind is named, with its file."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from reprlib import Repr
from typing import Any, Final

from node.domain.reasons import BundleFault
from node.errors import BundleError

_LONGEST_SHOWN: Final = 120
_SHORT: Final = Repr()
_SHORT.maxstring = _SHORT.maxother = 80


@dataclass(frozen=True, slots=True)
class Fields:
    """One object of a JSON file. Every method raises BundleError naming the file and the field."""

    file: Path
    values: Mapping[str, Any]
    prefix: str = ""

    def wrong(self, name: str, why: str) -> BundleError:
        """The error that says what is wrong with field ``name``."""
        return BundleError(f"{self.file}: field {self.prefix}{name} {why}", BundleFault.BUNDLE_METADATA)

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self.values.get(name) is not None

    def get(self, name: str, *kinds: type) -> Any:
        """The value, which must be of one of ``kinds``."""
        if not self.has(name):
            raise self.wrong(name, "is missing")
        value = self.values[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise self.wrong(name, f"is {shown(value)}, not a {' or '.join(kind.__name__ for kind in kinds)}")
        return value

    def text(self, name: str) -> str:
        """A text that is not empty."""
        value: str = self.get(name, str)
        if not value.strip():
            raise self.wrong(name, "is empty")
        return value

    def number(self, name: str) -> float:
        """A finite number."""
        return self._finite(name, self.get(name, int, float))

    def natural(self, name: str) -> int:
        """A whole number, zero or more."""
        value: int = self.get(name, int)
        if value < 0:
            raise self.wrong(name, f"is {value}, below zero")
        return value

    def flag(self, name: str) -> bool:
        """True or false."""
        value: bool = self.get(name, bool)
        return value

    def one_of(self, name: str, choices: Mapping[str, Any]) -> Any:
        """What ``choices`` has for the text in the field."""
        key = self.text(name)
        if key not in choices:
            raise self.wrong(name, f"is {shown(key)}, not one of {', '.join(choices)}")
        return choices[key]

    def interval(self, name: str) -> tuple[float, float]:
        """Two finite numbers, the smaller first."""
        value = self.get(name, list)
        if len(value) != 2 or not all(isinstance(end, int | float) for end in value):  # noqa: PLR2004  two ends
            raise self.wrong(name, f"is {shown(value)}, not two numbers")
        low, high = (self._finite(name, end) for end in value)
        if low >= high:
            raise self.wrong(name, f"is {value!r}, not in ascending order")
        return low, high

    def child(self, name: str) -> "Fields":
        """The object in the field."""
        return Fields(self.file, self.get(name, dict), f"{self.prefix}{name}.")

    def children(self, name: str) -> Iterator["Fields"]:
        """The objects of the list in the field."""
        for index, item in enumerate(self.get(name, list)):
            if not isinstance(item, dict):
                raise self.wrong(f"{name}[{index}]", "is not an object")
            yield Fields(self.file, item, f"{self.prefix}{name}[{index}].")

    def _finite(self, name: str, value: float) -> float:
        if not math.isfinite(value):
            raise self.wrong(name, f"is {value}, not a finite number")
        return float(value)


def shown(value: object) -> str:
    """``value`` in a message: on one line, and short whatever somebody has written into a file."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
