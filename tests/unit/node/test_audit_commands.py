"""``celadon audit``: is the trail whole, and what is in it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.audit_commands import app
from node.domain.audit import AuditAction
from node.settings import read_settings
from node.stores import Stores, open_database
from tests import factories


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a node with three rows in its trail."""
    path = tmp_path / "celadon.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    open_database(read_settings(path)).upgrade()
    trail = Stores.open(read_settings(path)).audit
    for number in range(3):
        trail.record(factories.event(AuditAction.COMPOSED, details={"number": number}))
    return path


def test_a_whole_trail_is_well(config: Path) -> None:
    """Exit code 0, and how many rows were read."""
    done = CliRunner().invoke(app, ["verify", "--json", "--config", str(config)])
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"well": True, "rows": 3, "bad_row": None, "why": ""})
    assert "3 rows" in CliRunner().invoke(app, ["verify", "--config", str(config)]).stdout


def test_the_first_bad_row_is_named(config: Path) -> None:
    """Exit code 1."""
    with Stores.open(read_settings(config)).database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE id = 2")
    done = CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert done.exit_code == 1
    assert done.stdout.startswith("row 2: ")


def test_the_export_is_a_document_a_line_and_a_row_itself(config: Path) -> None:
    """Oldest first; from a moment on where that is asked for."""
    lines = CliRunner().invoke(app, ["export", "--config", str(config)]).stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2, 3, 4]
    assert json.loads(lines[-1])["action"] == "person:audit:export"
    assert CliRunner().invoke(app, ["export", "--since", "2100-01-01", "--config", str(config)]).stdout == ""


def test_a_broken_trail_is_an_event_itself(config: Path) -> None:
    """So that whoever gets the audit messages hears of it; a whole one is none."""
    CliRunner().invoke(app, ["verify", "--config", str(config)])
    trail = Stores.open(read_settings(config)).audit
    assert [event.action for event in trail.events()] == [AuditAction.COMPOSED] * 3
    with Stores.open(read_settings(config)).database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER audit_no_update")
        connection.exec_driver_sql("UPDATE audit SET actor = 'nobody' WHERE id = 2")
    CliRunner().invoke(app, ["verify", "--config", str(config)])
    assert trail.events()[-1].action is AuditAction.TRAIL_BROKEN
    assert trail.events()[-1].details == {"row": 2}
