"""One series through the shipped segmenter in a process of its own, as a worker runs it; prints the cost as JSON.

Started as ``python -m tests.bench.segmented HU.npy COLUMN_MM ROW_MM SLICE_MM`` with HU as [slice, row, column].
"""

import json
import sys
import time
from typing import Final

import numpy as np

from models import device
from tests.bench.fresh_worker import peak_mib

THREADS: Final = 2


def main() -> None:
    """Seconds of a warm segmenter, the peak of the process's memory in MiB, and how many lesions, or why none."""
    device.limit_threads(THREADS)
    from models.segmenters.shipped import opened  # noqa: PLC0415  after the threads are known, as in a worker
    from node.domain.coding import Anatomy  # noqa: PLC0415
    from node.domain.identifiers import FrameOfReferenceUID  # noqa: PLC0415
    from node.domain.imaging import Geometry, Volume  # noqa: PLC0415
    from node.errors import Refused  # noqa: PLC0415

    segmenter = opened()
    segmenter.warm()
    hu = np.load(sys.argv[1])
    column, row, between = (float(text) for text in sys.argv[2:])
    frame = FrameOfReferenceUID.derived("bench", "segmenter")
    geometry = Geometry(
        shape_zyx=hu.shape,
        spacing_xyz_mm=(column, row, between),
        origin_lps_mm=(0.0, 0.0, 0.0),
        direction=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        frame_of_reference_uid=frame,
    )
    volume = Volume(hu, geometry, ())
    began = time.perf_counter()
    try:
        came = str(len(segmenter.locate(volume, (), tuple(Anatomy))))
    except Refused as refused:
        came = refused.code.value
    seconds = time.perf_counter() - began
    said = {"seconds": seconds, "peak_mib": peak_mib(), "came": came}
    print(json.dumps(said))  # noqa: T201  the parent reads it


if __name__ == "__main__":
    main()
