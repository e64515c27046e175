"""The same series with the same bundle, twice, in processes of their own: identical UIDs and bytes."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from node.domain.reporting import ObjectKind

ROOT = Path(__file__).parents[2]


def _composed(folder: Path, **environment: str) -> dict[str, str]:
    """UID to SHA-256 of every object, as another process composes them."""
    command = [sys.executable, "-m", "tests.integration.test_repeatable_objects", str(folder)]
    environ = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environ, timeout=240)
    return dict(line.split() for line in done.stdout.splitlines())


def test_two_processes_write_the_same_bytes(tmp_path: Path) -> None:
    """Neither hash seeds nor folders, neither time zone of the process nor order of a set gets into an object."""
    one = _composed(tmp_path / "one", PYTHONHASHSEED="1")
    other = _composed(tmp_path / "another place", PYTHONHASHSEED="2", TZ="Asia/Tokyo")
    assert len(one) > len(ObjectKind)
    assert one == other


def main() -> None:
    """Compose every kind of object about the bundled series and print UID and digest of each."""
    from tests.browser.studies import result, withdrawn, without_result  # noqa: PLC0415 — the test itself needs neither

    folder = Path(sys.argv[1])
    studies = (
        result("pancreas", folder, "A"),
        without_result("stomach", folder, "B"),
        withdrawn("stomach", folder, "C"),
    )
    for study in studies:
        for made in study.objects:
            print(made.uid, hashlib.sha256(made.content).hexdigest())  # noqa: T201 — what the test reads


if __name__ == "__main__":
    main()
