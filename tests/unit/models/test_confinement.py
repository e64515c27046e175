"""Confinement: what a process that has confined itself can no longer do, tried in such a process."""

import subprocess
import sys
from pathlib import Path

import pytest

from models.confinement import landlock_version

ROOT = Path(__file__).resolve().parents[3]
BEGIN = "from models.confinement import Bounds, confine; confine(Bounds(memory_bytes=2**28, cpu_s=1, file_bytes=1000))"
landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock (Linux 5.13, enabled)")


def confined(code: str, tmp_path: Path) -> "subprocess.CompletedProcess[str]":
    """Run ``code`` in a process that confines itself first, with ``there.txt`` to try things on."""
    (tmp_path / "there.txt").write_text("here")
    (tmp_path / "folder").mkdir()
    program = f"import os, socket\nkept = open('kept.bin', 'wb', buffering=0)\n{BEGIN}\n{code}"
    command = [sys.executable, "-c", program]
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)


def test_what_is_needed_still_works(tmp_path: Path) -> None:
    """Reading, computing, importing, and writing to what was opened before."""
    done = confined("import wave\nkept.write(open('there.txt', 'rb').read() + b'!')", tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kept.bin").read_bytes() == b"here!"


@landlock
@pytest.mark.parametrize(
    "code",
    [
        "open('new.txt', 'w')",
        "open('there.txt', 'w')",
        "open('there.txt', 'a')",
        "os.truncate('there.txt', 1)",
        "os.unlink('there.txt')",
        "os.rename('there.txt', 'other.txt')",
        "os.mkdir('other')",
        "os.rmdir('folder')",
        "os.symlink('there.txt', 'link')",
        "os.link('there.txt', 'folder/link')",
        "os.mkfifo('pipe')",
        "os.execv('/bin/true', ['true'])",
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.create_server(('127.0.0.1', 0))",
    ],
)
def test_nothing_is_made_changed_removed_run_or_reached(code: str, tmp_path: Path) -> None:
    """The kernel refuses it, whoever the process runs as."""
    done = confined(code, tmp_path)
    assert done.returncode == 1
    assert "PermissionError" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"there.txt", "folder", "kept.bin"}
    assert (tmp_path / "there.txt").read_text() == "here"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = bytearray(2**29)", "MemoryError"),
        ("kept.write(bytes(1001)); kept.write(b'x')", "File too large"),
        ("[os.dup(0) for _ in range(100)]", "Too many open files"),
        (
            "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1)) if os.getuid() else int('x')",
            "ValueError",
        ),
    ],
    ids=["memory", "file", "descriptors", "not raised again"],
)
def test_what_it_uses_is_bounded(code: str, words: str, tmp_path: Path) -> None:
    """With or without Landlock."""
    done = confined(code, tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert (tmp_path / "kept.bin").stat().st_size <= 1000


def test_a_process_that_computes_for_too_long_is_killed(tmp_path: Path) -> None:
    """By the kernel, when its processor time is spent."""
    done = confined("while True: pass", tmp_path)
    assert done.returncode < 0
