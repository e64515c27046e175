"""The nomogram as one draws it: a line of points, a line for each question with its answers, the total, the outcome."""

from dataclasses import dataclass
from typing import Any, Final

WIDTH: Final = 560
LABELS: Final = 44
"""Pixels left of where lines begin: half of the longest answer. The questions stand above their lines."""
ROW: Final = 76
_TOP: Final = 46
_RIGHT: Final = 36
_POINTS: Final = 100.0
_STEPS: Final = (10, 20, 25, 50, 100, 1000)
_MOST_TICKS: Final = 12
_CHARACTER: Final = 9.5
"""Pixels of a character on a phone, where they are largest: words that would touch stand on two heights."""
_BETWEEN: Final = 6.0


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on a line."""

    x: float
    words: str
    is_low: bool = False
    """Whether its words stand below the line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line with this patient's mark on it."""

    label: str
    answer: str
    y: float
    start_x: float
    end_x: float
    ticks: tuple[Tick, ...]
    mark_low: float
    mark_high: float
    """The same as ``mark_low`` where the answer is known; else a range."""

    @property
    def is_range(self) -> bool:
        """Whether the patient's answer is not known."""
        return self.mark_high > self.mark_low


@dataclass(frozen=True, slots=True)
class Drawing:
    """Where everything is drawn, in pixels."""

    lines: tuple[Line, ...]
    height: float
    width: int = WIDTH


def nomogram(document: dict[str, Any]) -> Drawing:
    """The drawing of a document's nomogram."""
    items = document["items"]
    widest = max([_POINTS, *(points for item in items for _, points in item["scale"])])
    scale = (WIDTH - LABELS - _RIGHT) / widest
    lines = [_ruler("Points", 0, widest, 10, _TOP)]
    for number, item in enumerate(items, start=1):
        lines.append(_item(item, scale, _TOP + number * ROW))
    total = sum(max((points for _, points in item["scale"]), default=_POINTS) for item in items) or _POINTS
    lines.append(_total(document["total"], total, _TOP + (len(items) + 1) * ROW))
    return Drawing(tuple(lines), _TOP + (len(items) + 1) * ROW + 24)


def _ruler(label: str, start: float, end: float, step: float, y: float) -> Line:
    scale = (WIDTH - LABELS - _RIGHT) / (end - start)
    count = int((end - start) / step + 1e-6)
    ticks = tuple(
        Tick(round(LABELS + number * step * scale, 1), f"{start + number * step:g}") for number in range(count + 1)
    )
    return Line(label, "", y, LABELS, WIDTH - _RIGHT, ticks, -1, -1)


def _item(item: dict[str, Any], scale: float, y: float) -> Line:
    places = [(round(LABELS + float(points) * scale, 1), str(answer)) for answer, points in item["scale"]]
    low, high = (round(LABELS + float(points) * scale, 1) for points in item["points"])
    ticks: list[Tick] = []
    for x, words in sorted(places):
        ticks.append(Tick(x, words, bool(ticks) and _would_touch(ticks[-1], x, words) and not ticks[-1].is_low))
    edges = [x for x, _ in places] or [low, high]
    return Line(item["name"], item["answer"] or "unknown", y, min(edges), max(edges), tuple(ticks), low, high)


def _would_touch(before: Tick, x: float, words: str) -> bool:
    return x - before.x < _CHARACTER * (len(before.words) + len(words)) / 2 + _BETWEEN


def _total(total: list[float], largest: float, y: float) -> Line:
    step = next((step for step in _STEPS if largest / step <= _MOST_TICKS), _STEPS[-1])
    end = step * -(-largest // step)
    ruler = _ruler("Total points", 0, end, step, y)
    scale = (WIDTH - LABELS - _RIGHT) / end
    low, high = (round(LABELS + float(points) * scale, 1) for points in total)
    words = f"{total[0]:.0f}" if total[0] == total[1] else f"{total[0]:.0f} to {total[1]:.0f}"
    return Line(ruler.label, words, y, ruler.start_x, ruler.end_x, ruler.ticks, low, high)
