"""``celadon users``: who may use the page."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from node.settings import read_settings
from node.stores import Stores, open_database
from node.user_commands import app


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Settings of a node with an empty database."""
    path = tmp_path / "celadon.toml"
    path.write_text(f'data_dir = "{tmp_path / "data"}"\n')
    open_database(read_settings(path)).upgrade()
    return path


def run(config: Path, *arguments: str, typed: str = "") -> str:
    """What a command says."""
    done = CliRunner().invoke(app, [*arguments, "--config", str(config)], input=typed, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_somebody_is_added_listed_and_disabled(config: Path) -> None:
    """The password is typed, and never an argument."""
    run(config, "add", "anna", "--role", "reader", typed="correct horse battery\ncorrect horse battery\n")
    run(config, "add", "berta", "--role", "admin", "--password-stdin", typed="correct horse battery\n")
    assert [(one["name"], one["role"]) for one in json.loads(run(config, "list", "--json"))] == [
        ("anna", "reader"),
        ("berta", "admin"),
    ]
    run(config, "disable", "anna")
    assert "disabled" in run(config, "list").splitlines()[0]
    kept = Stores.open(read_settings(config)).users.find("berta")
    assert kept is not None
    assert kept.password.startswith("$argon2id$")


def test_a_token_is_shown_once_and_can_be_revoked(config: Path) -> None:
    """It works in between."""
    run(config, "add", "anna", "--role", "reader", "--password-stdin", typed="correct horse battery\n")
    token = run(config, "token", "anna", "--label", "script").strip()
    users = Stores.open(read_settings(config)).users
    assert users.of_token(token) is not None
    assert "1 tokens" in run(config, "list")
    assert "1 tokens revoked" in run(config, "revoke", "anna")
    assert users.of_token(token) is None
