"""GPUs: found as CUDA would number them, without loading torch."""

import os
from pathlib import Path

import pytest

from node import gpus

TWO = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-bbbb)
"""
PARTED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-cccc)
  MIG 3g.20gb     Device  1: (UUID: MIG-GPU-11111111-aaaa/2/0)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-22222222-bbbb)
"""


@pytest.mark.parametrize(
    ("said", "found"),
    [("0,1", ("0", "1")), ("GPU-1, MIG-2", ("GPU-1", "MIG-2")), ("", ()), ("-1", ()), ("0,-1,1", ("0",))],
)
def test_what_the_environment_says_counts(said: str, found: tuple[str, ...]) -> None:
    """An administrator who gives this node two of four devices means it."""
    assert gpus.visible({gpus.VARIABLE: said, "PATH": "/nowhere"}) == found


def test_without_a_driver_there_is_none() -> None:
    """And nothing is started to find that out."""
    assert gpus.visible({"PATH": "/nowhere"}) == ()


def test_the_driver_says_which_there_are(tmp_path: Path) -> None:
    """By UUID, which stays the same when a device is taken out."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{TWO}END\n")
    program.chmod(0o755)
    assert gpus.visible({"PATH": f"{tmp_path}:{os.environ['PATH']}"}) == ("GPU-11111111-aaaa", "GPU-22222222-bbbb")


def test_a_driver_that_fails_is_a_machine_without_gpus(tmp_path: Path) -> None:
    """The node starts, on the CPU."""
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\nexit 9\n")
    program.chmod(0o755)
    assert gpus.visible({"PATH": f"{tmp_path}:{os.environ['PATH']}"}) == ()


def test_instances_stand_for_a_device_that_is_parted() -> None:
    """A process can use one of them only, and not the whole."""
    assert gpus.parse(PARTED) == ("MIG-cccc", "MIG-GPU-11111111-aaaa/2/0", "GPU-22222222-bbbb")
