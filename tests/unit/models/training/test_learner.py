"""What a task need not say."""

from tests.unit.models.training.toy import ToyTask


def test_there_is_nothing_beside_by_default() -> None:
    """A row without numbers for each held-out case."""
    task = ToyTask()
    learner = task.learner([0, 1], task.defaults, 0, "cpu")
    assert task.beside(learner, [0, 1], [2, 3, 4]).shape == (3, 0)
