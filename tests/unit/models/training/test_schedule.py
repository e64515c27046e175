"""Learning rates as functions of progress."""

import pytest

from models.training.schedule import learning_rate, sgdr
from tests.unit.models.training.toy import HYPER


def test_sgdr_falls_by_a_cosine_and_starts_again() -> None:
    """Loshchilov & Hutter, eq. 5: from 1 to 0 over a cycle, half of it at a half; then 1 again, over a longer cycle."""
    assert sgdr(0.0, 10, 2) == 1.0
    assert sgdr(5.0, 10, 2) == pytest.approx(0.5)
    assert sgdr(9.999, 10, 2) == pytest.approx(0.0, abs=1e-6)
    assert sgdr(10.0, 10, 2) == 1.0
    assert sgdr(20.0, 10, 2) == pytest.approx(0.5)
    assert sgdr(30.0, 10, 2) == 1.0


def test_a_constant_rate_stays() -> None:
    """At any epoch."""
    hyper = HYPER.changed(["schedule=constant"])
    assert {learning_rate(hyper, epochs) for epochs in (0.0, 3.7, 100.0)} == {0.02}


def test_a_cosine_ends_at_nothing() -> None:
    """At the last epoch, and stays there."""
    assert learning_rate(HYPER, 0.0) == 0.02
    assert learning_rate(HYPER, 2.0) == pytest.approx(0.01)
    assert learning_rate(HYPER, 4.0) == learning_rate(HYPER, 9.0) == pytest.approx(0.0)


def test_a_warm_up_rises() -> None:
    """In a line to the full rate; the first step does something."""
    hyper = HYPER.changed(["schedule=constant", "warm_up_epochs=2"])
    assert 0.0 < learning_rate(hyper, 0.0) < 0.001
    assert learning_rate(hyper, 1.0) == pytest.approx(0.0101, abs=1e-4)
    assert learning_rate(hyper, 2.0) == 0.02
