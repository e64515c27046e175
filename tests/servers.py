"""Real servers and tools that tests use: where one is missing a test is skipped and says so; in CI it fails."""

import os

import pytest


def require(name: str, path: str | None) -> str:
    """Where ``name`` is installed; a visible skip when it is not, a failure where CI is set."""
    if path is not None:
        return path
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed, and in CI it must be")
    pytest.skip(f"{name} is not installed")
