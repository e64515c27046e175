"""Synthetic abdominal CT with known answers: a seed becomes a plan, a plan becomes voxels.

    spec = draw(7, Wanted(kind=Kind.PANCREATIC))
    whole = render(spec)                       # the study
    crop = render(spec, lesion_box(spec))      # 30 x 100 x 100 voxels of it, the same ones, in a fraction of the time

Nothing here is a patient, and nothing learnt from it says anything about patients.
"""

from models.phantoms.anatomy import Organ
from models.phantoms.enhancement import Phase
from models.phantoms.latent import CEILING_AUC
from models.phantoms.render import Box, Phantom, Renderer, key_planes, lesion_box, lesion_place, render, stomach_box
from models.phantoms.spec import Kind, PhantomSpec, Wanted, draw

__all__ = [
    "CEILING_AUC",
    "Box",
    "Kind",
    "Organ",
    "Phantom",
    "PhantomSpec",
    "Phase",
    "Renderer",
    "Wanted",
    "draw",
    "key_planes",
    "lesion_box",
    "lesion_place",
    "render",
    "stomach_box",
]
