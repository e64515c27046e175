"""A page over a fresh SQLite file, empty or with a case of each kind."""

import shutil
from pathlib import Path

import pytest

from node.domain.identifiers import JobId
from tests.page import PageUnderTest, furnished, open_page


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> tuple[Path, dict[str, JobId]]:
    """A folder with a case of each kind to copy."""
    folder = tmp_path_factory.mktemp("furnished")
    page = furnished(open_page(folder, migrated))
    page.stores.database.close()
    return folder, page.jobs


@pytest.fixture
def page(tmp_path: Path, migrated: Path) -> PageUnderTest:
    """An empty page on loopback without users."""
    return open_page(tmp_path, migrated)


@pytest.fixture
def full(tmp_path: Path, made: tuple[Path, dict[str, JobId]]) -> PageUnderTest:
    """A page with a case of each kind."""
    folder, jobs = made
    shutil.copytree(folder, tmp_path / "data")
    opened = open_page(tmp_path / "data")
    opened.jobs = dict(jobs)
    return opened
