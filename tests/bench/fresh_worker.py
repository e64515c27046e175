"""A worker's models in a process of their own: both bundles opened and warm, one case each; prints the cost as JSON.

Started as ``python -m tests.bench.fresh_worker FOLDER`` with the folder for compiled networks.
"""

import json
import sys
import time
from pathlib import Path

import psutil

from models import device


def main() -> None:
    """Seconds from the start of the process until both are warm, and the peak of its memory in MiB."""
    device.limit_threads(1)
    from models.bundle import Bundle, shipped  # noqa: PLC0415  after the threads are known, as in a worker
    from models.registry import PREDICTORS, resolve  # noqa: PLC0415
    from tests.bench.cases import case_for  # noqa: PLC0415

    opened = []
    for name, entry in PREDICTORS.items():
        predictor = resolve(entry)(Bundle.open(shipped(name)), "cpu", Path(sys.argv[1]))
        predictor.warm()
        opened.append(predictor)
    ready = time.time() - psutil.Process().create_time()
    for predictor in opened:
        predictor.predict(case_for(predictor.anatomy))
    print(json.dumps({"ready_s": ready, "peak_mib": peak_mib()}))  # noqa: T201  the parent reads it


def peak_mib() -> float:
    """The most memory that was ever resident; getrusage would count the parent's too."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (kib,) = (line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kib) / 1024


if __name__ == "__main__":
    main()
