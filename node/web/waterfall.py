"""The waterfall: how each input moves an output from its base, bars one under the other (Lundberg & Lee 2017).

Each name stands above its bar, not beside it: so the whole of it is seen on a phone, where a bar that has to be
scrolled for would be missed.
"""

from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 560
ROW: Final = 44
MOST_ROWS: Final = 12
_TOP: Final = 28
_LEFT: Final = 4
_RIGHT: Final = 70
"""Pixels for the number behind the longest bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One input."""

    label: str
    value: str
    x: float
    width: float
    y: float
    raises: bool
    end_x: float
    """Where the next bar begins."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """Where everything is drawn, in pixels."""

    bars: tuple[Bar, ...]
    base_x: float
    output_x: float
    base_words: str
    output_words: str
    height: float
    width: int = WIDTH
    left: int = _LEFT

    def anchor(self, x: float) -> str:
        """Where words about a place begin, as SVG says it: none leaves the drawing."""
        if x < WIDTH / 4:
            return "start"
        return "end" if x > WIDTH * 3 / 4 else "middle"


def waterfall(attribution: dict[str, Any]) -> Waterfall:
    """The drawing of a document's attribution: the largest first, the many small ones as one bar."""
    rows = _rows(attribution["contributions"])
    base, output = float(attribution["base"]), float(attribution["output"])
    reached, ends = base, [base]
    for _, logits in rows:
        reached += logits
        ends.append(reached)
    low, high = min(*ends, output), max(*ends, output)
    span = (high - low) or 1.0
    scale = (WIDTH - _LEFT - _RIGHT) / span

    def place(value: float) -> float:
        return round(_LEFT + (value - low) * scale, 1)

    bars = []
    for number, (label, logits) in enumerate(rows):
        start, end = ends[number], ends[number + 1]
        left = place(min(start, end))
        width = max(1.0, abs(place(end) - place(start)))
        bars.append(Bar(label, f"{logits:+.2f}", left, width, _TOP + number * ROW, logits > 0, place(end)))
    return Waterfall(
        bars=tuple(bars),
        base_x=place(base),
        output_x=place(output),
        base_words=f"base {base:+.2f}",
        output_words=f"result {output:+.2f}",
        height=_TOP + len(rows) * ROW + 34,
    )


def _rows(contributions: list[dict[str, Any]]) -> list[tuple[str, float]]:
    ordered = sorted(contributions, key=lambda one: -abs(one["logits"]))
    shown, others = ordered[:MOST_ROWS], ordered[MOST_ROWS:]
    rows = [(_label(one), float(one["logits"])) for one in shown]
    if others:
        rows.append((f"{len(others)} others", sum(float(one["logits"]) for one in others)))
    return rows


def _label(one: dict[str, Any]) -> str:
    answer = f" = {one['answer']}" if one["answer"] else ""
    return f"{one['name']}{answer}{' (imputed)' if one['is_imputed'] else ''}"
