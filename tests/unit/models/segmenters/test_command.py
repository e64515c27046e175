"""A segmentation program beside Celadon: found, run within limits, ended with all that it started."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from models.segmenters.command import Limits, find, run
from node.domain.reasons import ReasonCode
from node.errors import Refused, Retryable, UsageError

PYTHON = Path(sys.executable)
ROOMY = Limits(within_s=60.0, memory_gb=4.0)


def refused(code: str, folder: Path, limits: Limits = ROOMY) -> str:
    """The detail with which a Python program is refused."""
    with pytest.raises(Refused) as caught:
        run(PYTHON, ["-c", code], folder, limits)
    assert caught.value.reason.code is ReasonCode.SEGMENTER_FAILED
    return caught.value.reason.detail


def test_a_program_that_ends_well_is_run_once(tmp_path: Path) -> None:
    """In its folder, without a shell: arguments arrive as they are."""
    code = "import sys; open('said', 'w').write(sys.argv[1])"
    run(PYTHON, ["-c", code, "$(touch gone); *"], tmp_path, ROOMY)
    assert (tmp_path / "said").read_text(encoding="utf-8") == "$(touch gone); *"
    assert not (tmp_path / "gone").exists()


def test_the_nodes_secrets_stay_with_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the environment only what a program needs is passed on, and what the settings add."""
    monkeypatch.setenv("CELADON_DATABASE_URL", "postgresql://hush")
    code = "import json, os; json.dump(dict(os.environ), open('said', 'w'))"
    run(PYTHON, ["-c", code], tmp_path, Limits(60.0, 4.0, threads=2, environment={"MODELS": "here"}))
    said = (tmp_path / "said").read_text(encoding="utf-8")
    assert "hush" not in said
    assert '"MODELS": "here"' in said
    assert '"OMP_NUM_THREADS": "2"' in said


def test_a_program_that_fails_is_refused_without_quoting_it(tmp_path: Path) -> None:
    """Its exit code and the kind of its error, never what it printed: that may name a patient."""
    detail = refused("raise ValueError('/scans/DOE^JANE.nii.gz')", tmp_path)
    assert "exit code 1, ValueError" in detail
    assert "JANE" not in detail
    assert "signal 11" in refused("import os; os.kill(os.getpid(), 11)", tmp_path)


def test_a_slow_program_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    """Also with a child that ignores being asked."""
    child = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    code = (
        f"import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', {child!r}]);"
        "open('pid', 'w').write(str(p.pid)); time.sleep(600)"
    )
    began = time.monotonic()
    assert "took more than 3 s" in refused(code, tmp_path, Limits(within_s=3.0, memory_gb=4.0))
    assert time.monotonic() - began < 60.0
    assert not alive(int((tmp_path / "pid").read_text(encoding="utf-8")))


def alive(pid: int) -> bool:
    """Whether a process runs still, after a moment to be buried."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    return True


def test_a_program_that_takes_too_much_memory_fails(tmp_path: Path) -> None:
    """It, and not the worker."""
    assert "MemoryError" in refused("bytearray(2 << 30)", tmp_path, Limits(within_s=60.0, memory_gb=1.0))


@pytest.mark.parametrize(
    "code",
    [
        "f = open('huge', 'wb')\nfor _ in range(64): f.write(bytes(1 << 20))",
        "import time\nfor k in range(64): open(f'part{k}', 'wb').write(bytes(1 << 20))\ntime.sleep(600)",
        "import time\nfor _ in range(64): print('x' * (1 << 20), flush=True)\ntime.sleep(600)",
    ],
    ids=["one file", "many files", "its output"],
)
def test_a_program_that_fills_the_disk_is_ended(tmp_path: Path, code: str) -> None:
    """By one file, by many, or by what it prints."""
    detail = refused(code, tmp_path, Limits(within_s=60.0, memory_gb=4.0, disk_gb=16 / 1024))
    assert "took more" not in detail
    written = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert written <= 64 << 20


def test_a_program_that_is_not_installed_is_named(tmp_path: Path) -> None:
    """With the setting, and what to install; when the node starts, not with the first patient."""
    with pytest.raises(UsageError, match=r"segmenters\.x.*no-such-program.*install it"):
        find("no-such-program", "segmenters.x", "install it")
    assert find("sh", "segmenters.x", "").is_absolute()


def test_a_program_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    """It may be there again when an update of it is through."""
    broken = tmp_path / "program"
    broken.write_text("#!/no/such/interpreter\n", encoding="utf-8")
    broken.chmod(0o700)
    with pytest.raises(Retryable):
        run(broken, [], tmp_path, ROOMY)
