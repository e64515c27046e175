"""Bundles whose weights are drawn from a seed: of any variant, small enough to keep, and never used for a result."""

from pathlib import Path


def drawn(name: str) -> Path:
    """The folder of one: ``porcelain`` or ``gtrnet``."""
    return Path(__file__).parent / "drawn_bundles" / name
