"""Assemble: decode the slices of a stack and put them together as one volume in Hounsfield units."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from node.dicom.sandbox import Decoder
from node.domain.imaging import Volume
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack
from node.errors import Quarantined
from workers.stored import stored_file


def assemble(stack: Stack, decoder: Decoder) -> Volume:
    """The volume [slice, row, column] in HU, in the order of the stack.

    Raises:
        Refused: a slice has no rescale to HU.
        Quarantined: a slice cannot be decoded, or decodes to another size than its header says.
        Quarantined: a stored file is gone.
    """
    hu = np.empty(stack.geometry.shape_zyx, dtype=np.float32)

    def fill(index: int) -> None:
        plane = decoder.read_hounsfield(stored_file(stack.instances[index]))
        if plane.shape != hu.shape[1:]:
            detail = f"slice {index + 1} decodes to {plane.shape}, its header says {hu.shape[1:]}"
            raise Quarantined(ReasonCode.UNDECODABLE, detail)
        hu[index] = plane

    with ThreadPoolExecutor(decoder.width, "decode") as threads:
        try:
            for _ in threads.map(fill, range(len(hu))):
                pass
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
    return Volume(hu, stack.geometry, tuple(instance.uid for instance in stack.instances))
