"""Hyper-parameters from the command line."""

import pytest

from node.errors import UsageError
from tests.unit.models.training.toy import HYPER


def test_values_take_their_types() -> None:
    """Whole numbers, fractions and words as the parameter has them."""
    changed = HYPER.changed(["epochs=7", "learning_rate=1e-3", "optimiser=adam"])
    assert (changed.epochs, changed.learning_rate, changed.optimiser) == (7, 0.001, "adam")
    assert changed.batch_size == HYPER.batch_size


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("epochs", "name=value"),
        ("epoch=3", "name of optimiser"),
        ("epochs=many", "'many' is not a int"),
        ("epochs=0", "below 1"),
        ("batch_size=1", "below 2"),
        ("optimiser=sgd", "not one of adamw, adam"),
        ("precision=fp16", "not one of fp32, bf16"),
        ("learning_rate=2", r"outside \[0, 1\]"),
        ("learning_rate=nan", r"outside \[0, 1\]"),
        ("turned_share=1.5", r"outside \[0, 1\]"),
        ("hard_share=0", r"outside \(0, 1\]"),
        ("warm_up_epochs=inf", "warm_up_epochs is inf"),
    ],
)
def test_what_no_training_can_use_is_refused(setting: str, says: str) -> None:
    """With the name of the parameter and what is wrong."""
    with pytest.raises(UsageError, match=says):
        HYPER.changed([setting])


def test_what_does_nothing_is_not_in_use() -> None:
    """A card names the shares of a segmenter's voxels where there are any, and cycles where the rate has them."""
    shares = {"hard_share", "turned_share", "anywhere_share"}
    plain, cycling = HYPER.changed(["schedule=cosine"]), HYPER.changed(["schedule=sgdr", "turned_share=0.4"])
    assert not plain.in_use().keys() & {*shares, "cycle_epochs"}
    assert plain.in_use()["learning_rate"] == HYPER.learning_rate
    assert cycling.in_use().keys() & {*shares, "cycle_epochs"} == {"turned_share", "cycle_epochs"}
