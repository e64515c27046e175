"""Bootstrap: what the settings name is checked before anything is loaded for it."""

import pytest

from node.errors import UsageError
from node.settings import RuleSettings, Settings
from node.store.session import Database
from workers import bootstrap


def _open(**changes: object) -> None:
    bootstrap.open_workshop(Settings(**changes))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _database(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A current database, so that the settings alone can be wrong."""
    folder = tmp_path_factory.mktemp("node")
    monkeypatch.setenv("CELADON_DATA_DIR", str(folder))

    Database(Settings().url).upgrade()


def test_a_rule_for_a_predictor_that_does_not_exist_is_wrong_usage() -> None:
    """The message names it and lists those that do."""
    with pytest.raises(UsageError, match=r"no predictor 'porcelian'; known: gtrnet, porcelain"):
        _open(rules=(RuleSettings(predictor="porcelian"),))


def test_a_condition_that_could_never_hold_is_wrong_usage() -> None:
    """A mistyped attribute would otherwise silently match nothing."""
    with pytest.raises(UsageError, match="'StationNmae' cannot be a condition"):
        _open(rules=(RuleSettings(predictor="gtrnet", when={"StationNmae": "CT1"}),))


def test_a_segmenter_that_does_not_exist_is_wrong_usage() -> None:
    """The message names the setting."""
    with pytest.raises(UsageError, match=r"segmenter.stomach: there is no segmenter 'nnunet'"):
        _open(segmenter={"stomach": ("nnunet",)})
