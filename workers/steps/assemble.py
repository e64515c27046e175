"""Assemble: decode the slices of a stack and put them together as one volume in Hounsfield units."""

import numpy as np

from node.dicom.reading import read_hounsfield
from node.domain.imaging import Volume
from node.domain.reasons import ReasonCode
from node.domain.stacking import Stack
from node.errors import Quarantined
from workers.stored import stored_file


def assemble(stack: Stack) -> Volume:
    """The volume [slice, row, column] in HU, in the order of the stack.

    Raises:
        Refused: a slice has no rescale to HU.
        Quarantined: a slice cannot be decoded, or decodes to another size than its header says.
        Fatal: a stored file is gone.
    """
    hu = np.empty(stack.geometry.shape_zyx, dtype=np.float32)
    for index, instance in enumerate(stack.instances):
        plane = read_hounsfield(stored_file(instance))
        if plane.shape != hu.shape[1:]:
            detail = f"slice {index + 1} decodes to {plane.shape}, its header says {hu.shape[1:]}"
            raise Quarantined(ReasonCode.UNDECODABLE, detail)
        hu[index] = plane
    return Volume(hu, stack.geometry, tuple(instance.uid for instance in stack.instances))
