"""Bootstrap: what the settings name is checked before anything is loaded for it."""

import shutil
from pathlib import Path

import pytest

from models.bundle import Bundle, shipped
from models.bundle_store import Library
from node.domain.audit import AuditAction, AuditOutcome
from node.domain.coding import Anatomy
from node.errors import BundleError, UsageError
from node.settings import RuleSettings, Settings
from node.store.audit import AuditTrail
from node.store.session import Database
from tests.fakes import FakeSegmenter
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


def test_each_organs_segmenters_are_asked_in_its_own_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """First whoever is first for an organ, and each is made once, however often it is asked."""
    made: list[str] = []

    def build(name: str, *_: object) -> FakeSegmenter:
        made.append(name)
        return FakeSegmenter(name)

    monkeypatch.setattr(bootstrap, "_segmenter", build)
    monkeypatch.setattr(bootstrap.registry, "SEGMENTERS", dict.fromkeys(("a", "b", "c"), ""))
    settings = Settings(segmenter={"pancreas": ("a", "b"), "stomach": ("c", "a", "b")})
    asked = [(one.name, organs) for one, organs in bootstrap._segmenters(settings, 1)]
    pancreas, stomach = Anatomy.PANCREAS, Anatomy.STOMACH
    assert asked[:2] == [("a", (pancreas,)), ("c", (stomach,))]
    assert asked[2:] == [("b", (pancreas,)), ("a", (stomach,)), ("b", (stomach,))]
    assert sorted(made) == ["a", "b", "c"]


def test_a_bundle_that_is_not_there_is_wrong_usage() -> None:
    """The setting and the known bundles are named, before any model is loaded."""
    with pytest.raises(
        UsageError, match=r"models\.gtrnet: there is no model bundle 'site-a'; known: porcelain, gtrnet"
    ):
        _open(models={"gtrnet": "site-a"})


def test_a_bundle_that_differs_from_its_record_keeps_the_worker_from_starting(tmp_path: Path) -> None:
    """The error names bundle and digests, and the audit trail says which predictor was refused and why."""
    source = tmp_path / "bundle"
    shutil.copytree(shipped("gtrnet"), source)
    settings = Settings(models={"gtrnet": "site-a"})
    Library(settings.models_dir).add(source, "site-a", trial=lambda _: None)
    card = settings.models_dir / "site-a" / "docs" / "README.md"
    card.write_bytes(card.read_bytes() + b" ")
    with pytest.raises(BundleError, match=r"BUNDLE_CHANGED: .*site-a: the digest is .*: the bundle has changed"):
        bootstrap.open_workshop(settings)
    (event,) = AuditTrail(Database(settings.url)).events()
    assert (event.action, event.outcome) == (AuditAction.MODEL_REFUSED, AuditOutcome.REFUSED)
    assert event.details == {"predictor": "gtrnet", "fault": "BUNDLE_CHANGED"}


def test_a_worker_predicts_with_the_bundle_that_the_settings_name(tmp_path: Path) -> None:
    """Its results carry that bundle's digest; the other predictor keeps the shipped one."""
    source = tmp_path / "bundle"
    shutil.copytree(shipped("porcelain"), source)
    (source / "docs" / "README.md").write_text("# The same network under another card\n", encoding="utf-8")
    digest = Library(Settings().models_dir).add(source, "site-b", trial=lambda _: None).digest
    rules = (RuleSettings(predictor="porcelain"),)
    workshop = bootstrap.open_workshop(Settings(models={"porcelain": "site-b"}, rules=rules))
    assert workshop.predictors["porcelain"].identity.digest == digest
    assert digest != Bundle.open(shipped("porcelain")).digest


def test_a_cohorts_bench_has_the_segmenters_of_the_bundles_organ(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the settings, each asked about that organ alone; the predictor is the bundle's own."""
    monkeypatch.setattr(bootstrap, "_segmenter", lambda name, *_: FakeSegmenter(name))
    monkeypatch.setattr(bootstrap.registry, "SEGMENTERS", dict.fromkeys(("a", "b", "c"), ""))
    monkeypatch.setattr(bootstrap, "_predictor", lambda name, bundle, _, __: (name, bundle.digest))
    bundle = Bundle.open(shipped("porcelain"))
    settings = Settings(segmenter={"pancreas": ("b", "a"), "stomach": ("c",)})
    predictor, segmenters, decoder = bootstrap.open_bench(settings, bundle)
    decoder.close()
    assert predictor == ("porcelain", bundle.digest)
    assert [(segmenter.name, organs) for segmenter, organs in segmenters] == [
        ("b", (Anatomy.PANCREAS,)),
        ("a", (Anatomy.PANCREAS,)),
    ]
