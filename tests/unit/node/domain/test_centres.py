"""Centres against each other: the strange one is told, and it alone."""

import random

from node.domain.centres import Apart, apart, farthest_first
from node.domain.drift import LARGE_PSI

FEWEST = 10


def is_strange(one: Apart) -> bool:
    """As monitoring has it."""
    return one.psi > LARGE_PSI and one.ks.p_value < 0.001


def numbers(shifts: dict[str, float], count: int = 40) -> dict[str, list[float]]:
    """Of a standard deviation of 1, ``count`` at each centre."""
    chance = random.Random(3)  # noqa: S311 — the same every time
    return {name: [chance.gauss(shift, 1.0) for _ in range(count)] for name, shift in shifts.items()}


def told(found: tuple[Apart, ...]) -> set[str]:
    """Who is strange."""
    return {one.centre for one in found if is_strange(one)}


def test_one_strange_centre_does_not_make_the_others_look_strange() -> None:
    """Each of the others lies far from a pool that is a third Cedar."""
    found = apart(numbers({"Alder": 0.0, "Birch": 0.0, "Cedar": 6.0}), FEWEST, is_strange)
    assert [one.centre for one in found] == ["Alder", "Birch", "Cedar"]
    assert told(found) == {"Cedar"}
    assert found[0].others == 40
    assert found[2].others == 80
    assert found[2].median > 5.0 > found[2].median_of_others


def test_centres_that_are_alike_are_not_told_apart() -> None:
    """Chance alone."""
    found = apart(numbers(dict.fromkeys("ABCDEF", 0.0)), FEWEST, is_strange)
    assert len(found) == 6
    assert told(found) == set()


def test_of_two_that_differ_both_are_told() -> None:
    """Nobody can say which is the strange one."""
    assert told(apart(numbers({"Alder": 0.0, "Cedar": 6.0}), FEWEST, is_strange)) == {"Alder", "Cedar"}


def test_of_too_few_nothing_is_said() -> None:
    """Neither of a centre with few cases nor against few others; and a centre without a name is none."""
    few = numbers({"Alder": 0.0, "Cedar": 6.0}, FEWEST - 1)
    assert apart(few, FEWEST, is_strange) == ()
    assert apart(numbers({"Alder": 0.0}), FEWEST, is_strange) == ()
    assert apart(numbers({"": 0.0, "Cedar": 6.0}), FEWEST, is_strange) == ()


def test_two_strange_centres_are_left_out_one_after_the_other() -> None:
    """The farthest first; who is left is compared without both."""
    seen: list[tuple[str, ...]] = []

    def compare(centre: str, left: object) -> int:
        seen.append(tuple(left))  # type: ignore[call-overload]  # a sequence of names
        return {"A": 1, "B": 2, "C": 30, "D": 20}[centre]

    found = farthest_first("DCBA", compare, lambda far: far > 10, float)
    assert found == [("A", 1), ("B", 2), ("C", 30), ("D", 20)]
    assert seen[-1] == ("A", "B")
