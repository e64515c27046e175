"""The known checkpoints: what is pinned, and that a bundle can be made of each."""

import json

import pytest

from models import registry
from models.bundle_files import CARD, METADATA
from models.checkpoints.known import PUBLISHED, published
from node.errors import UsageError


def test_gtrnet_is_pinned() -> None:
    """The file that its authors published, by digest and size."""
    known = published("gtrnet")
    assert known.sha256 == "df3fc8e82b45d387254c3502f0cea81a6f1163d4adbdeddd4dd6bc5e10999561"
    assert known.size_bytes == 233_519_033


def test_another_is_wrong_usage() -> None:
    """With the known ones."""
    with pytest.raises(UsageError, match="known as 'resnet'; known: gtrnet"):
        published("resnet")


@pytest.mark.parametrize("name", PUBLISHED)
def test_each_has_a_template_that_promises_nothing(name: str) -> None:
    """Metadata and card, not validated, with a disclaimer, for a predictor that exists and a network that does."""
    known = PUBLISHED[name]
    celadon = json.loads((known.template / METADATA).read_text(encoding="utf-8"))["celadon"]
    assert celadon["predictor"] in registry.PREDICTORS
    assert celadon["status"] == "unvalidated"
    assert celadon["disclaimer"]
    card = (known.template / CARD).read_text(encoding="utf-8")
    assert all(f"{{{part}}}" in card for part in ("sha256", "size_bytes", "origin"))
    assert callable(registry.resolve(known.network))


def test_the_card_of_gtrnet_says_what_its_files_say() -> None:
    """The figures of file and paper beside each other, and why neither is to be expected."""
    card = (published("gtrnet").template / CARD).read_text(encoding="utf-8")
    for fact in ("| accuracy | 0.925 | 0.899 |", "| 0.995 | 0.97 |", "0.906", "0.946 | 0.901", "177 of the 179", "358"):
        assert fact in card
    assert "None of these figures is expected performance" in card
