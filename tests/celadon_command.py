"""The command in the process of a test."""

import sys

import pytest

from node.__main__ import main


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run ``celadon`` with these words; gives its exit code."""
    monkeypatch.setattr(sys, "argv", ["celadon", *words])
    try:
        main()
    except SystemExit as exc:
        return int(exc.code or 0)
    return 0
