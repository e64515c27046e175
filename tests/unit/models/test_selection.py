"""The selection: the bundle that the settings name, the shipped one otherwise, and nothing that does not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest

from models.bundle import Bundle, shipped
from models.bundle_store import Library
from models.selection import choices, chosen
from node.errors import BundleError, UsageError
from node.settings import BundleChoice, Settings


@pytest.fixture
def library(tmp_path: Path, spoil: Callable[..., Path]) -> Library:
    """One with an added bundle for GTRNet."""
    library = Library(tmp_path / "models")
    source = spoil("gtrnet", lambda celadon: celadon["weights"].update(seed=1))
    library.add(source, "site-a", trial=lambda _: None)
    return library


def settings(**models: str) -> Settings:
    """Settings that name these bundles."""
    return Settings(models=models)


def test_without_a_setting_the_shipped_bundle_is_used(library: Library) -> None:
    """For each predictor the one under its name."""
    assert choices(settings()) == {"porcelain": BundleChoice("porcelain"), "gtrnet": BundleChoice("gtrnet")}
    assert chosen(settings(), library, "gtrnet").digest == Bundle.open(shipped("gtrnet")).digest


def test_an_added_bundle_is_used_instead(library: Library) -> None:
    """For the predictor that the settings name, and for it alone; pinned or not."""
    digest = library.entry("site-a").digest
    assert chosen(settings(gtrnet="site-a"), library, "gtrnet").digest == digest
    assert chosen(settings(gtrnet=f"site-a@sha256:{digest}"), library, "gtrnet").digest == digest
    assert chosen(settings(gtrnet="site-a"), library, "porcelain").path == shipped("porcelain")


def test_another_digest_than_pinned_is_refused(library: Library) -> None:
    """Shipped or added."""
    for name in ("site-a", "gtrnet"):
        with pytest.raises(BundleError, match=r"BUNDLE_CHANGED: .* and the settings pin 0000"):
            chosen(settings(gtrnet=f"{name}@sha256:{'0' * 64}"), library, "gtrnet")


def test_what_the_settings_name_must_be_there_and_fit(library: Library) -> None:
    """The setting is named, and what there is."""
    with pytest.raises(
        UsageError, match=r"models\.gtrnet: there is no model bundle 'b'; known: porcelain, gtrnet, site"
    ):
        chosen(settings(gtrnet="b"), library, "gtrnet")
    with pytest.raises(UsageError, match=r"models\.porcelain: the bundle 'site-a' is for 'gtrnet'"):
        chosen(settings(porcelain="site-a"), library, "porcelain")
    with pytest.raises(UsageError, match=r"models\.nnunet: there is no such predictor; known: porcelain, gtrnet"):
        choices(settings(nnunet="site-a"))
