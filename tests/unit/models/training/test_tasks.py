"""What can be trained."""

import pytest

from models import registry
from models.training.learner import Task
from models.training.tasks import PHANTOMS, TASKS


@pytest.mark.parametrize("name", TASKS)
def test_each_name_is_a_task(name: str) -> None:
    """A class under its own name, with defaults that training can use."""
    kind = registry.resolve(TASKS[name])
    assert issubclass(kind, Task)
    assert kind.name == name
    assert kind.defaults.checked() == kind.defaults
    for parameter, values in kind.space.items():
        for value in values:
            kind.defaults.changed([f"{parameter}={value}"])


def test_each_task_has_phantoms_to_learn_from() -> None:
    """From a number and a seed; the same number of cases."""
    assert set(PHANTOMS) == set(TASKS)
    assert all(len(registry.resolve(entry)(4, 1).cases) == 4 for entry in PHANTOMS.values())
