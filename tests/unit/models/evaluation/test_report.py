"""The report: plain JSON with every estimate's interval and library, and facts that are those of the analysis."""

import json
from dataclasses import replace
from importlib import metadata
from typing import Any

from models.evaluation.analysis import Analysis
from models.evaluation.document import Provenance
from models.evaluation.report import FORMAT, Report, facts, software


def estimates(value: Any) -> list[dict[str, Any]]:
    """Everything inside ``value`` that is an estimate."""
    if isinstance(value, dict):
        own = [value] if {"value", "low", "high", "source"} <= value.keys() else []
        return own + [one for part in value.values() for one in estimates(part)]
    return [one for part in value for one in estimates(part)] if isinstance(value, list) else []


def test_the_data_is_json_that_any_program_reads(made: Report, analysis: Analysis) -> None:
    """No NaN; the figures of the analysis."""
    found = json.loads(made.json())
    assert found == json.loads(json.dumps(made.data))
    assert found["format"] == FORMAT
    accuracy = found["analysis"]["sets"][0]["variants"][0]["figures"]["accuracy"]
    assert accuracy["value"] == analysis.sets[0].variants[0].figures.accuracy.value
    assert (accuracy["interval"], accuracy["source"]) == ("Wilson", "statsmodels")


def test_every_estimate_has_an_interval_or_says_why_not(made: Report) -> None:
    """And the library that it comes from."""
    found = estimates(json.loads(made.json()))
    assert len(found) > 200
    for one in found:
        assert one["source"]
        assert (one["low"] is not None and one["interval"]) or one["note"] or one["value"] is None, one


def test_no_case_is_named(made: Report) -> None:
    """Counts alone leave a hospital; case names do not stand in the report."""
    assert '"c17"' not in made.json()
    assert ">c17<" not in made.html


def test_software_is_what_is_installed(analysis: Analysis) -> None:
    """Celadon, and each library that a figure names."""
    found = dict(software(analysis))
    assert {"celadon", "python", "scikit-learn", "statsmodels", "lifelines", "matplotlib"} <= found.keys()
    assert found["lifelines"] == metadata.version("lifelines")


def test_facts_are_those_of_the_analysis(analysis: Analysis, provenance: Provenance) -> None:
    """What is not known is no fact."""
    found = facts(analysis, provenance)
    assert found["exclusions"] == "no portal-venous phase: 1"
    assert "91 cases, 1 left out" in found["flow"]
    assert "seed 4" in found["uncertainty"]
    assert "model" not in facts(analysis, replace(provenance, model_card=""))
    assert "ethics" not in found
