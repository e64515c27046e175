"""Estimates: they print as papers do, and name the versions they come from."""

from importlib import metadata

from models.evaluation.estimate import Estimate, Source, nothing, versions


def test_it_prints_as_a_paper_does() -> None:
    """Value and interval, the value alone where there is none, a dash where there is nothing."""
    whole = Estimate(0.9049, 0.8612, 0.9421, 10, "Wilson", Source.STATSMODELS)
    assert whole.text() == "0.905 (0.861\N{EN DASH}0.942)"
    assert whole.text(1) == "0.9 (0.9\N{EN DASH}0.9)"
    assert Estimate(1.0, None, None, 3, "", Source.SKLEARN).text(2) == "1.00"
    assert nothing(Source.SKLEARN, "no case").text() == "\N{EN DASH}"


def test_a_width_needs_both_ends() -> None:
    """Without them it is unknown, not zero."""
    assert Estimate(0.5, 0.25, 0.75, 10, "", Source.OWN).width == 0.5
    assert Estimate(0.5, 0.25, None, 10, "", Source.OWN).width is None


def test_versions_are_those_installed() -> None:
    """Each library once, by its distribution's name."""
    found = versions([Source.SCIPY, Source.SKLEARN, Source.SCIPY])
    assert found == {"scikit-learn": metadata.version("scikit-learn"), "scipy": metadata.version("scipy")}
