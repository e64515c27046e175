"""The page of monitoring: pictures with their numbers, for those who may watch."""

from xml.etree.ElementTree import fromstring

import pytest

from node.domain.access import Role
from node.web import monitoring
from tests.page import PageUnderTest
from tests.watched import NOW, brighten, watch


def test_an_empty_node_says_so(page: PageUnderTest) -> None:
    """No picture of nothing."""
    text = page.signed_in(Role.ADMIN).get("/monitoring").text
    assert "Nothing has come in this period." in text
    assert "<svg" not in text


def test_every_picture_has_its_name_and_its_numbers(page: PageUnderTest) -> None:
    """Each is SVG without script or style, and beside each is a table."""
    watch(page, 160)
    text = page.signed_in(Role.OPERATOR).get("/monitoring").text
    pictures = [part.partition("</svg>")[0] for part in text.split("<svg")[1:]]
    assert len(pictures) >= 8
    for one in pictures:
        drawn = fromstring(f"<svg{one}</svg>")  # noqa: S314 — our own
        assert drawn.get("role") == "img"
        assert drawn.get("aria-label")
    assert text.count("<table") >= len(pictures)
    for words in (
        "Score NTR_HIGH", "HU in the region, mean", "Slice thickness, mm", "Convolution kernel", "Scanner",
        "Brier score", "Imputation", "Wilson", "PSI", "KS", "No reference: the bundle carries none",
    ):  # fmt: skip
        assert words in text, words
    assert "style=" not in text
    assert "PAT-" not in text


def test_a_centre_unlike_the_others_stands_in_a_row_of_its_own(page: PageUnderTest) -> None:
    """With both medians; its name, which anybody may have written, is text and never a metric's label."""
    watch(page, 600)
    brighten(page, 70.0)
    text = page.signed_in(Role.OPERATOR).get("/monitoring").text
    rows = [row for row in text.split("<tr") if "unlike the others</span>" in row]
    assert len(rows) == 1
    assert '<th scope="row">Cedar</th><td>HU in the region, mean</td>' in rows[0]
    metrics = page.client().get("/metrics").text
    assert 'celadon_alarm{alarm="drift:porcelain aaaaaaaa:centre"} 1.0' in metrics
    assert "Cedar" not in metrics


def test_looking_is_in_the_trail(page: PageUnderTest) -> None:
    """As everything is."""
    page.signed_in(Role.READER).get("/monitoring")
    assert "person:monitoring:view" in page.actions()


@pytest.mark.parametrize("role", Role)
def test_those_who_watch_may_and_viewers_may_not(page: PageUnderTest, role: Role) -> None:
    """Aggregates, but of the whole house."""
    expected = 403 if role is Role.VIEWER else 200
    assert page.signed_in(role).get("/monitoring").status_code == expected


def test_alarms_are_metrics_too(page: PageUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """1 while a threshold is crossed; computed at most once a minute."""
    watch(page, 160, scanner_changes=True)
    client = page.client()
    lines = client.get("/metrics").text.splitlines()
    found = {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines if line.startswith("celadon_alarm{")}
    assert found['celadon_alarm{alarm="drift:porcelain aaaaaaaa:scanner"}'] == "1.0"
    assert found['celadon_alarm{alarm="agreement"}'] == "0.0"
    asked = []
    monkeypatch.setattr(monitoring, "overview", lambda *_: asked.append(NOW))
    client.get("/metrics")
    assert asked == []
