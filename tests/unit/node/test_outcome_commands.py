"""``celadon outcomes`` and ``celadon unblind``, as they are typed."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.__main__ import app
from tests.page import PageUnderTest, analysed, open_page
from tests.unit.node.reports.factory import STUDY


@pytest.fixture
def page(tmp_path: Path) -> PageUnderTest:
    """A node with a blinded result."""
    made = open_page(tmp_path)
    made.jobs["silent"] = analysed(made, is_silent=True)
    (tmp_path / "celadon.toml").write_text(f'data_dir = "{tmp_path}"\n')
    return made


def run(page: PageUnderTest, *arguments: str) -> tuple[int, str]:
    """A command: its exit code and what it says."""
    config = str(page.settings.data_dir / "celadon.toml")
    done = CliRunner().invoke(app, [*arguments, "--config", config])
    return done.exit_code, done.output + str(done.exception or "")


def test_outcomes_are_imported_or_rehearsed(page: PageUnderTest) -> None:
    """A rehearsal keeps nothing."""
    file = page.settings.data_dir / "outcomes.csv"
    file.write_text("accession,outcome,determined_on,source\nACC-1,T2,2025-01-02,pathology\n")
    asked = ("outcomes", "import", str(file), "--by", "Dr Jones")
    assert run(page, *asked, "--dry-run") == (0, "1 outcomes would be imported\n")
    assert page.stores.outcomes.of(STUDY) == ()
    assert run(page, *asked) == (0, "1 outcomes imported\n")
    assert [(one.answer, one.entered_by) for one in page.stores.outcomes.of(STUDY)] == [("T2", "Dr Jones")]
    assert "person:outcome:enter" in page.actions()


def test_a_result_is_unblinded_by_somebody_with_a_reason(page: PageUnderTest) -> None:
    """One, or all of a predictor."""
    job = page.jobs["silent"]
    code, words = run(page, "unblind", "--by", "Dr Jones", "--reason", "over")
    assert (code, "say which job" in words) == (1, True)
    assert run(page, "unblind", job, "--by", "Dr Jones", "--reason", "over")[0] == 0
    assert page.stores.findings.of(job) is not None
    assert run(page, "unblind", "--predictor", "gtrnet", "--by", "Dr Jones", "--reason", "over") == (
        0,
        "0 results are shown from now on\n",
    )


def test_the_command_line_shows_no_blinded_number(page: PageUnderTest) -> None:
    """As the page does not."""
    code, text = run(page, "show", page.jobs["silent"], "--json")
    assert code == 0
    assert '"blinded": true' in text
    assert "62.1" not in text
