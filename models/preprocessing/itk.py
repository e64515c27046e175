"""Volumes as SimpleITK images and back; both sides are LPS millimetres, so nothing is flipped."""

from typing import Any

import numpy as np
import SimpleITK

from node.domain.identifiers import FrameOfReferenceUID, InstanceUID
from node.domain.imaging import Geometry, Volume


def to_itk(volume: Volume) -> Any:
    """The volume as a float32 ``SimpleITK.Image`` with its spacing, origin and direction."""
    geometry = volume.geometry
    image = SimpleITK.GetImageFromArray(volume.hu)
    image.SetSpacing(geometry.spacing_xyz_mm)
    image.SetOrigin(geometry.origin_lps_mm)
    # ITK reads the matrix row by row; its columns are the directions of the axes, as ours.
    image.SetDirection(np.asarray(geometry.direction, dtype=np.float64).T.ravel().tolist())
    return image


def from_itk(image: Any, frame: FrameOfReferenceUID, instance_uids: tuple[InstanceUID, ...] = ()) -> Volume:
    """The 3-D ``SimpleITK.Image`` as a volume; a resampled one has no instances behind its slices."""
    hu = SimpleITK.GetArrayFromImage(image).astype(np.float32)
    xx, xy, xz, yx, yy, yz, zx, zy, zz = image.GetDirection()
    x, y, z = image.GetSpacing()
    geometry = Geometry(
        shape_zyx=hu.shape,
        spacing_xyz_mm=(x, y, z),
        origin_lps_mm=tuple(image.GetOrigin()),
        direction=((xx, yx, zx), (xy, yy, zy), (xz, yz, zz)),
        frame_of_reference_uid=frame,
    )
    return Volume(hu, geometry, instance_uids)
