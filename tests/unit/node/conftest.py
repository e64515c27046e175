"""What tests of several parts of the node begin with."""

from pathlib import Path

import pytest

from node.store.session import Database


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "celadon.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path
