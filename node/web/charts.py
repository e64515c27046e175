"""Charts: where everything of a picture lies, in pixels; the template draws it as SVG, without a script or a style."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 540
HEIGHT: Final = 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 60, 28, 12, 34
"""Room for half of the longest words, as large as they are on a phone."""
_MOST_LABELS: Final = 6
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)
_ROWS: Final = 4
_GAP: Final = 0.15
"""Of a column's room that stays empty."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    words: str


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    """``first`` or ``second``: how it is filled."""


@dataclass(frozen=True, slots=True)
class Dot:
    """A value with its interval."""

    x: float
    y: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Where everything is drawn."""

    label: str
    """What it shows, for those who do not see it; the numbers are in the table beside it."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    boxes: tuple[Box, ...] = ()
    dots: tuple[Dot, ...] = ()
    lines: tuple[str, ...] = ()
    """Points of SVG polylines."""
    guides: tuple[tuple[float, float, float, float], ...] = ()
    """Dashed lines: x1, y1, x2, y2."""
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def columns(label: str, names: Sequence[str], stacks: Sequence[tuple[float, ...]]) -> Chart:
    """A column for each name; the parts of each lie on one another, at most two."""
    top, ticks = _rows(max((sum(stack) for stack in stacks), default=0.0))
    y = _Scale(0.0, top, HEIGHT - _BOTTOM, _TOP)
    room = (WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    boxes = []
    for number, stack in enumerate(stacks):
        reached = 0.0
        for part, kind in zip(stack, ("first", "second"), strict=False):
            x = round(_LEFT + room * (number + _GAP / 2), 1)
            height = round(y(reached) - y(reached + part), 1)
            if height > 0:
                boxes.append(Box(x, y(reached + part), round(room * (1 - _GAP), 1), height, kind))
            reached += part
    return Chart(label, _some(names, room), tuple(Tick(y(one), f"{one:g}") for one in ticks), boxes=tuple(boxes))


def over_time(
    label: str,
    names: Sequence[str],
    values: Sequence[tuple[float, float, float] | None],
    *,
    highest: float | None = None,
    threshold: float | None = None,
) -> Chart:
    """A dot for each name with its interval: value, low, high; None where there is nothing."""
    known = [value for value in values if value is not None]
    top, ticks = _rows(highest or max([*(value[2] for value in known), threshold or 0.0], default=1.0))
    y = _Scale(0.0, top, HEIGHT - _BOTTOM, _TOP)
    room = (WIDTH - _LEFT - _RIGHT) / max(len(names), 1)
    places = [
        (round(_LEFT + room * (number + 0.5), 1), value) for number, value in enumerate(values) if value is not None
    ]
    dots = tuple(Dot(x, y(value[0]), y(value[1]), y(value[2])) for x, value in places)
    guides = ((float(_LEFT), y(threshold), float(WIDTH - _RIGHT), y(threshold)),) if threshold is not None else ()
    return Chart(
        label,
        _some(names, room),
        tuple(Tick(y(one), f"{one:g}") for one in ticks),
        dots=dots,
        lines=(" ".join(f"{dot.x},{dot.y}" for dot in dots),) if len(dots) > 1 else (),
        guides=guides,
    )


def distribution(
    label: str, edges: Sequence[float], now: Sequence[float], reference: Sequence[float] | None = None
) -> Chart:
    """Shares of the bins between ``edges``: now as columns, the reference as the line of a staircase."""
    top, ticks = _rows(max([*now, *(reference or ())], default=1.0))
    y = _Scale(0.0, top, HEIGHT - _BOTTOM, _TOP)
    x = _Scale(edges[0], edges[-1], _LEFT, WIDTH - _RIGHT)
    boxes = tuple(
        Box(x(low), y(share), round(x(high) - x(low), 1), round(y(0.0) - y(share), 1), "first")
        for low, high, share in zip(edges, edges[1:], now, strict=False)
        if share > 0
    )
    stairs = [
        f"{x(edge)},{y(share)}"
        for low, high, share in zip(edges, edges[1:], reference or (), strict=False)
        for edge in (low, high)
    ]
    step = max(1, -(-(len(edges) - 1) // _MOST_LABELS))
    return Chart(
        label,
        tuple(Tick(x(edge), _short(edge)) for edge in edges[::step]),
        tuple(Tick(y(one), f"{100 * one:g} %") for one in ticks),
        boxes=boxes,
        lines=(" ".join(stairs),) if stairs else (),
    )


def reliability(label: str, points: Sequence[tuple[float, float, float, float]]) -> Chart:
    """What came true against what was said: said, came, low, high; the dashed line is where both are the same."""
    x, y = _Scale(0.0, 1.0, _LEFT, WIDTH - _RIGHT), _Scale(0.0, 1.0, HEIGHT - _BOTTOM, _TOP)
    shares = [number / 5 for number in range(6)]
    return Chart(
        label,
        tuple(Tick(x(one), f"{100 * one:g} %") for one in shares),
        tuple(Tick(y(one), f"{100 * one:g} %") for one in shares),
        dots=tuple(Dot(x(said), y(came), y(low), y(high)) for said, came, low, high in points),
        guides=((x(0.0), y(0.0), x(1.0), y(1.0)),),
    )


def _rows(highest: float) -> tuple[float, list[float]]:
    """Where the axis ends, and its marks: round numbers, about four of them."""
    if highest <= 0:
        return 1.0, [0.0, 1.0]
    size = 10.0
    while size > highest / _ROWS:
        size /= 10.0
    while size * 10.0 <= highest / _ROWS:
        size *= 10.0
    step = next(size * one for one in _STEPS if size * one >= highest / _ROWS)
    count = 1
    while step * count < highest - step * 1e-9:
        count += 1
    return step * count, [round(step * number, 12) for number in range(count + 1)]


def _some(names: Sequence[str], room: float) -> tuple[Tick, ...]:
    """As many names as can be read."""
    step = max(1, -(-len(names) // _MOST_LABELS))
    return tuple(
        Tick(round(_LEFT + room * (number + 0.5), 1), name) for number, name in enumerate(names) if number % step == 0
    )


def _short(value: float) -> str:
    return f"{value:.3g}"
