"""Painting a patient's organs on one plane, in the order in which later ones cover earlier ones."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from models.phantoms.anatomy import Anatomy, Dome, Organ, domes_height
from models.phantoms.canvas import Canvas, Patch
from models.phantoms.enhancement import Enhancement, Tissue
from models.phantoms.lattice import Lattice, Plane
from models.phantoms.shapes import Ellipsoid, Extent, Tube, box_around, smooth_max, smooth_min
from models.phantoms.spec import Filling, PhantomSpec
from models.phantoms.tumours import GastricTumour, PancreaticTumour

FAT_HU: Final = -104.0
SKIN_HU: Final = 20.0
LUNG_HU: Final = -850.0
GAS_HU: Final = -980.0
BILE_HU: Final = 9.0
WATER_HU: Final = 6.0
ORAL_CONTRAST_HU: Final = 230.0
DUCT_HU: Final = 14.0
_CORTICAL_HU: Final = 420.0
_MARROW_HU: Final = 165.0
_DISC_HU: Final = 85.0
_CANAL_HU: Final = 30.0
_VERTEBRA_EVERY_MM: Final = 34.0
_RIB_EVERY_MM: Final = 27.0
_RIB_REACH_MM: Final = 6.0
"""How far ribs reach into the cavity, with room for blending."""
_SPINE_REACH: Final = Extent((-55.0, -5.0, -1e4), (55.0, 130.0, 1e4))
_INVADED: Final = (Organ.SOFT_TISSUE, Organ.STOMACH, Organ.PANCREAS, Organ.DUODENUM, Organ.COLON, Organ.SMALL_BOWEL)
"""What a gastric tumour can grow into; of liver and spleen it would have the attenuation."""
_LAYERS: Final = (0.35, 0.65)
"""Of the stomach's wall from outside: where the submucosa begins, and the mucosa."""


@dataclass(frozen=True, slots=True)
class Textures:
    """The mottling of one patient's tissues, [row, column] of the plane, mean 0 and standard deviation 1."""

    fine: Plane
    coarse: Plane


class Painter:
    """Paints one patient."""

    def __init__(
        self,
        spec: PhantomSpec,
        anatomy: Anatomy,
        pancreatic: tuple[PancreaticTumour, ...],
        gastric: tuple[GastricTumour, ...],
    ) -> None:
        self.spec, self.anatomy = spec, anatomy
        self.pancreatic, self.gastric = pancreatic, gastric
        self.scale = spec.habitus.scale
        self.hu: Enhancement = spec.bolus

    def paint(self, canvas: Canvas, textures: Textures, z_mm: float) -> None:
        """Everything, from the table to the tumours."""
        self._table(canvas)
        cavity = self._trunk(canvas, textures)
        self._spine(canvas)
        self._liver(canvas, textures, cavity)
        self._spleen(canvas, textures, cavity)
        self._kidneys(canvas, textures)
        self._bowel(canvas)
        self._tubes(canvas, self.anatomy.veins, Tissue.VENA_CAVA, Organ.SOFT_TISSUE)
        self._tubes(canvas, (self.anatomy.vena_cava,), Tissue.VENA_CAVA, Organ.VENA_CAVA)
        self._pancreas(canvas, textures, z_mm)
        self._tubes(canvas, self.anatomy.portal, Tissue.PORTAL_VEIN, Organ.PORTAL_VEIN)
        self._tubes(canvas, self.anatomy.small_arteries, Tissue.AORTA, Organ.SOFT_TISSUE)
        self._aorta(canvas)
        self._stomach(canvas, textures, cavity, z_mm)

    def _table(self, canvas: Canvas) -> None:
        trunk = self.anatomy.trunk
        back = trunk.back_mm + trunk.outer_mm + 14.0
        x, y = canvas.x_mm.astype(np.float32)[None, :], canvas.y_mm.astype(np.float32)[:, None]
        lowest = back - float(np.max(x * x, initial=0.0)) / 1150.0 - 3.0
        if float(np.max(y, initial=-1e4)) < lowest:
            return
        for down, half in ((0.0, 1.3), (24.0, 1.3)):
            distance = np.abs(y - (back + down - x * x / np.float32(1150.0))) - np.float32(half)
            canvas.paint(canvas.whole, np.maximum(distance, np.abs(x) - np.float32(212.0)), 150.0)

    def _trunk(self, canvas: Canvas, textures: Textures) -> Plane:
        """Skin, fat, muscle, ribs, lungs and heart; returns the distance to the wall of the cavity."""
        trunk, whole = self.anatomy.trunk, canvas.whole
        x, y, z = whole.x, whole.y, whole.z
        cavity = self._cavity(x, y, z)
        fat = np.float32(FAT_HU) + 9.0 * np.clip(textures.coarse, -1.0, 2.5)
        if float(cavity.max(initial=-1e4)) < -_RIB_REACH_MM:  # a crop within the abdomen: there is no wall to paint
            canvas.paint(whole, cavity, fat, Organ.SOFT_TISSUE)
            self._chest(canvas, cavity)
            self._paraspinal(canvas, textures)
            return cavity
        body = smooth_max(cavity - np.float32(trunk.outer_mm), y - np.float32(trunk.back_mm + trunk.outer_mm - 9.0), 34)
        canvas.paint(whole, body, SKIN_HU, Organ.SOFT_TISSUE)
        canvas.paint(whole, body + 2.0, np.float32(FAT_HU) + 5.0 * textures.coarse)
        wall = np.maximum(cavity - np.float32(trunk.wall_mm), body + np.float32(min(6.0, trunk.fat_mm)))
        muscle = np.float32(self.hu.hu(Tissue.MUSCLE)) + 5.0 * textures.fine
        canvas.paint(whole, wall, muscle, Organ.MUSCLE)
        canvas.paint(whole, cavity, fat, Organ.SOFT_TISSUE)
        self._ribs(canvas, cavity)
        self._chest(canvas, cavity)
        self._paraspinal(canvas, textures)
        return cavity

    def _cavity(self, x: Plane, y: Plane, z: Plane) -> Plane:
        trunk = self.anatomy.trunk
        narrow = 1.0 + np.float32(0.0005) * np.clip(-z - 40.0, 0.0, None)
        depth = np.where(y < 0.0, np.float32(trunk.front_mm), np.float32(trunk.back_mm))
        qx, qy = x * narrow / np.float32(trunk.half_width_mm), y * narrow / depth
        qxx, qyy = qx * qx, qy * qy
        # Between an ellipse and a box: a lying abdomen is flatter than an ellipse.
        value = np.sqrt(qxx + qyy - np.float32(0.22) * qxx * qyy)
        slope = np.sqrt(qxx / np.float32(trunk.half_width_mm**2) + qyy / (depth * depth))
        cavity: Plane = value * (value - 1.0) / (slope + np.float32(1e-6))
        return cavity

    def _paraspinal(self, canvas: Canvas, textures: Textures) -> None:
        muscle = np.float32(self.hu.hu(Tissue.MUSCLE)) + 5.0 * textures.fine
        at = self.anatomy.spine_y_mm + 36.0 * self.scale
        for side in (-1.0, 1.0):
            column = Ellipsoid((side * 31.0 * self.scale, at, 0.0), (29.0 * self.scale, 21.0 * self.scale, 1e4))
            if patch := canvas.patch(column.extent):
                canvas.paint(patch, column.distance(patch.x, patch.y, patch.z), muscle[patch.window], Organ.MUSCLE)
        for psoas in self.anatomy.psoas:
            if patch := canvas.patch(psoas.extent):
                canvas.paint(patch, psoas.distance(patch.x, patch.y, patch.z), muscle[patch.window], Organ.MUSCLE)

    def _ribs(self, canvas: Canvas, cavity: Plane) -> None:
        trunk, whole = self.anatomy.trunk, canvas.whole
        across = np.abs(whole.x) / np.float32(trunk.half_width_mm)
        forward = whole.y / np.float32(trunk.back_mm)
        from_back = across / (across + np.abs(forward) + np.float32(1e-3))
        round_ = np.where(forward > 0.0, from_back, 2.0 - from_back)
        height = whole.z + 62.0 * round_ + np.float32(trunk.rib_phase_mm)
        off = height - np.float32(_RIB_EVERY_MM) * np.rint(height / np.float32(_RIB_EVERY_MM))
        shell = cavity - np.float32(0.45 * trunk.wall_mm)
        distance = np.sqrt(shell * shell + 0.42 * off * off) - 3.9
        # The lowest ribs are short; in front there is cartilage, left out.
        end = np.maximum(np.float32(0.26) - round_, round_ - (1.02 + 0.0065 * whole.z)) * 90.0
        distance = np.maximum(distance, end)
        canvas.paint(whole, distance, _CORTICAL_HU, Organ.RIB)
        canvas.paint(whole, distance + 1.7, _MARROW_HU)

    def _chest(self, canvas: Canvas, cavity: Plane) -> None:
        whole = canvas.whole
        above = canvas.z.max(initial=-1e4)
        if above < min(dome.top[2] for dome in self.anatomy.domes) - 75.0:
            return
        right, left = self._domes(whole)
        lung = smooth_max(smooth_max(right, left, 12.0), cavity + 1.0, 4.0)
        canvas.paint(whole, lung, LUNG_HU, Organ.LUNG)
        middle = Ellipsoid((0.0, 24.0 * self.scale, 0.0), (33.0 * self.scale, 48.0 * self.scale, 1e4))
        fat = smooth_max(middle.distance(whole.x, whole.y, whole.z), lung, 6.0)
        canvas.paint(whole, fat, FAT_HU, Organ.SOFT_TISSUE)
        if patch := canvas.patch(self.anatomy.heart.extent):
            heart = smooth_max(self.anatomy.heart.distance(patch.x, patch.y, patch.z), cavity[patch.window] + 6.0, 6.0)
            canvas.paint(patch, heart - 4.0, FAT_HU)
            blood = 0.5 * (self.hu.hu(Tissue.AORTA) + self.hu.hu(Tissue.VENA_CAVA))
            canvas.paint(patch, heart, blood, Organ.HEART)

    def _domes(self, patch: Patch) -> tuple[Plane, Plane]:
        """Signed distance to the space above each half of the diaphragm, negative in the chest."""
        heights = domes_height(self.anatomy.domes, patch.x, patch.y)
        return tuple(0.75 * (height - patch.z) for height in heights)  # type: ignore[return-value]  # two halves

    def _spine(self, canvas: Canvas) -> None:
        anatomy, s = self.anatomy, self.scale
        patch = canvas.patch(_SPINE_REACH)
        if patch is None:
            return
        x, z = patch.x, patch.z
        y = patch.y - np.float32(anatomy.spine_y_mm)
        level = z / np.float32(s) + np.float32(anatomy.vertebra_phase_mm)
        every = np.float32(_VERTEBRA_EVERY_MM)
        off = np.abs(level - every * np.rint(level / every))
        waist = 1.0 + 0.10 * np.clip((off - 8.0) / 9.0, -1.0, 1.0)
        arch = Ellipsoid((0.0, 24.0 * s, 0.0), (14.0 * s, 12.0 * s, 1e4)).distance(x, y, z)
        process = smooth_min(
            np.maximum(np.abs(x) - 3.6, np.abs(y - 44.0 * s) - 15.0 * s),
            np.maximum(np.abs(y - 21.0 * s) - 4.0, np.maximum(np.abs(x) - 38.0 * s, off - 7.0)),
            3.0,
        )
        canvas.paint(patch, smooth_min(arch, np.maximum(process, off - 13.0), 4.0), _CORTICAL_HU, Organ.VERTEBRA)
        body = Ellipsoid((0.0, 0.0, 0.0), (23.0 * s, 17.0 * s, 1e4)).distance(x * waist, y * waist, z)
        bone = np.maximum(body, (17.0 - off) * -1.0 - 13.0)
        canvas.paint(patch, bone, _CORTICAL_HU, Organ.VERTEBRA)
        canvas.paint(patch, bone + 1.6, _MARROW_HU)
        disc = np.maximum(body + 1.0, 13.2 - off)
        canvas.paint(patch, disc, _DISC_HU, Organ.VERTEBRA)
        canal = Ellipsoid((0.0, 23.5 * s, 0.0), (9.5 * s, 7.5 * s, 1e4)).distance(x, y, z)
        canvas.paint(patch, canal, _CANAL_HU, Organ.SOFT_TISSUE)

    def _liver(self, canvas: Canvas, textures: Textures, cavity: Plane) -> None:
        anatomy, s = self.anatomy, self.scale
        right, left = anatomy.right_lobe, anatomy.left_lobe
        patch = canvas.patch(_union(right.extent, left.extent))
        if patch is None:
            return
        x, y, z = patch.x, patch.y, patch.z
        medial = 0.78 * x + 0.62 * y + np.float32(anatomy.medial_mm)
        lower = 0.72 * (np.float32(anatomy.lower_edge_mm) - z) + 0.42 * (x + np.float32(118.0 * s))
        lobe = smooth_max(right.distance(x, y, z), smooth_max(medial, lower, 16.0), 16.0)
        lobe = smooth_min(lobe, left.distance(x, y, z), 22.0)
        under: Plane = np.float32(2.5) - np.maximum(*self._domes(patch))
        liver = smooth_max(smooth_max(lobe, under, 8.0), cavity[patch.window] + 3.0, 6.0)
        mean = self.hu.hu(Tissue.LIVER) - self.spec.habitus.fatty_liver_hu
        canvas.paint(patch, liver, np.float32(mean) + 3.0 * textures.fine[patch.window], Organ.LIVER)
        self._vessels_in(canvas, patch, liver)
        box = anatomy.gallbladder
        if spot := canvas.patch(box.extent):
            distance = box.distance(spot.x, spot.y, spot.z)
            canvas.paint(spot, distance - 2.0, self.hu.hu(Tissue.BOWEL_WALL), Organ.GALLBLADDER)
            canvas.paint(spot, distance, BILE_HU, Organ.GALLBLADDER)

    def _vessels_in(self, canvas: Canvas, liver_patch: Patch, liver: Plane) -> None:
        """Portal branches and hepatic veins, within the liver alone."""
        full = np.full(canvas.hu.shape, np.float32(99.0))
        full[liver_patch.window] = liver
        branches = [(vessel.tube, Tissue.PORTAL_VEIN) for vessel in self.anatomy.liver_vessels]
        veins = [(tube, Tissue.VENA_CAVA) for tube in self.anatomy.hepatic_veins]
        for tube, tissue in branches + veins:
            if patch := canvas.patch(tube.extent):
                distance = np.maximum(tube.distance(patch.x, patch.y, patch.z), full[patch.window])
                enhanced = self.hu.hu(tissue)
                if tissue is Tissue.VENA_CAVA:  # hepatic veins carry what the liver lets go: brighter than the cava
                    enhanced = 0.5 * (enhanced + self.hu.hu(Tissue.PORTAL_VEIN))
                canvas.paint(patch, distance, enhanced)

    def _spleen(self, canvas: Canvas, textures: Textures, cavity: Plane) -> None:
        anatomy = self.anatomy
        patch = canvas.patch(anatomy.spleen.extent)
        if patch is None:
            return
        x, y, z = patch.x, patch.y, patch.z
        under: Plane = np.float32(2.5) - np.maximum(*self._domes(patch))
        spleen = smooth_max(anatomy.spleen.distance(x, y, z), smooth_max(under, cavity[patch.window] + 3.0, 5.0), 6.0)
        spleen = smooth_max(spleen, -anatomy.hilum.distance(x, y, z), 8.0)
        mottled = 2.5 * textures.fine[patch.window]
        canvas.paint(patch, spleen, np.float32(self.hu.hu(Tissue.SPLEEN)) + mottled, Organ.SPLEEN)

    def _kidneys(self, canvas: Canvas, textures: Textures) -> None:
        labels = (Organ.KIDNEY_LEFT, Organ.KIDNEY_RIGHT)
        for kidney, sinus, label in zip(self.anatomy.kidneys, self.anatomy.sinuses, labels, strict=True):
            patch = canvas.patch(kidney.extent)
            if patch is None:
                continue
            distance = kidney.distance(patch.x, patch.y, patch.z)
            hollow = sinus.distance(patch.x, patch.y, patch.z)
            canvas.paint(patch, distance - 7.0, FAT_HU + 4.0, Organ.SOFT_TISSUE)
            distance = smooth_max(distance, -hollow, 5.0)
            canvas.paint(patch, distance, self.hu.hu(Tissue.KIDNEY_CORTEX), label)
            pyramids = distance + 6.5 + 2.6 * textures.coarse[patch.window]
            canvas.paint(patch, pyramids, self.hu.hu(Tissue.KIDNEY_MEDULLA))

    def _bowel(self, canvas: Canvas) -> None:
        wall = self.hu.hu(Tissue.BOWEL_WALL)
        for loop in self.anatomy.loops:
            patch = canvas.patch(loop.tube.extent)
            if patch is None:
                continue
            distance = loop.tube.distance(patch.x, patch.y, patch.z)
            canvas.paint(patch, distance, wall, loop.organ)
            inside = distance + 2.4
            canvas.paint(patch, inside, loop.content_hu)
            if loop.has_gas:
                level = patch.y - np.float32(min(point[1] for point in loop.tube.points) - 2.0)
                if loop.organ is Organ.COLON:
                    level = distance + 0.62 * loop.tube.radii_mm[0] + 0.35 * (patch.y + 40.0)
                canvas.paint(patch, np.maximum(inside, level), GAS_HU)

    def _tubes(self, canvas: Canvas, tubes: tuple[Tube, ...], tissue: Tissue, label: Organ) -> None:
        for tube in tubes:
            if patch := canvas.patch(tube.extent):
                canvas.paint(patch, tube.distance(patch.x, patch.y, patch.z), self.hu.hu(tissue), label)

    def _aorta(self, canvas: Canvas) -> None:
        aorta = self.anatomy.aorta
        patch = canvas.patch(aorta.extent)
        if patch is None:
            return
        distance = aorta.distance(patch.x, patch.y, patch.z)
        canvas.paint(patch, distance - 1.0, 45.0, Organ.AORTA)
        canvas.paint(patch, distance, self.hu.hu(Tissue.AORTA), Organ.AORTA)
        if self.spec.habitus.calcified_aorta:
            turn = patch.x - np.float32(aorta.points[0][0]) + 0.8 * (patch.y - np.float32(aorta.points[1][1]))
            spots = np.maximum(np.abs(distance) - 0.9, 4.5 - np.abs(turn))
            length = np.abs(patch.z - 26.0 * np.rint(patch.z / np.float32(26.0))) - 6.0
            canvas.paint(patch, np.maximum(np.maximum(spots, length), -turn), 520.0)

    def _pancreas(self, canvas: Canvas, textures: Textures, z_mm: float) -> None:
        tube = self.anatomy.pancreas
        patch = canvas.patch(tube.extent)
        mean = self.hu.hu(Tissue.PANCREAS)
        if patch is not None:
            lobules = 1.5 * textures.fine[patch.window]
            distance = tube.distance(patch.x, patch.y, patch.z) + lobules
            tissue = np.float32(mean) + 7.0 * textures.fine[patch.window] + 4.0 * textures.coarse[patch.window]
            canvas.paint(patch, distance, tissue, Organ.PANCREAS)
            self._duct(canvas)
        for tumour in self.pancreatic:
            self._pancreatic_tumour(canvas, tumour, z_mm)

    def _duct(self, canvas: Canvas) -> None:
        """Upstream of a tumour the pancreatic duct is wide."""
        if not self.pancreatic:
            return
        tube, first = self.anatomy.pancreas, self.spec.lesions[0]
        if first.where > 0.6:  # noqa: PLR2004 — nothing much upstream of a tail tumour
            return
        fractions = [first.where + (0.95 - first.where) * k / 4.0 for k in range(5)]
        width = 1.2 + first.size_mm / 25.0
        duct = Tube(tuple(tube.at(fraction)[0] for fraction in fractions), (width,) * 4 + (0.8,))
        if patch := canvas.patch(duct.extent):
            canvas.paint(patch, duct.distance(patch.x, patch.y, patch.z), DUCT_HU)

    def _pancreatic_tumour(self, canvas: Canvas, tumour: PancreaticTumour, z_mm: float) -> None:
        patch = canvas.patch(tumour.extent)
        if patch is None:
            return
        ragged = _seen(tumour.outline, canvas, patch, z_mm)
        distance = tumour.distance(patch.x, patch.y, patch.z, ragged)
        if float(distance.min()) > float(canvas.soft_mm):
            return
        texture = tumour.texture_hu(
            _seen(tumour.fine, canvas, patch, z_mm), _seen(tumour.coarse, canvas, patch, z_mm), distance
        )
        mean = np.float32(self.hu.hu(Tissue.PANCREATIC_TUMOUR))
        canvas.paint(patch, distance, mean + texture)
        canvas.mark_lesion(patch, distance <= 0.0, tumour.number, Organ.PANCREAS)

    def _stomach(self, canvas: Canvas, textures: Textures, cavity: Plane, z_mm: float) -> None:
        patch = canvas.patch(self.anatomy.stomach.extent, self.anatomy.stomach.near_mm)
        if patch is None:
            return
        outside = smooth_max(self.anatomy.stomach.distance(patch.x, patch.y, patch.z), cavity[patch.window] + 5.0, 8.0)
        outside = smooth_max(outside, 3.0 - self._domes(patch)[1], 8.0)
        wall = self._wall(textures, patch)
        inner = wall
        grown = []
        for tumour in self.gastric:
            near = tumour.closeness(patch.x, patch.y, patch.z)
            profile = tumour.height(near)
            inner = inner + np.maximum(np.float32(tumour.thickness_mm) - wall, np.float32(0.0)) * profile
            grown.append((tumour, near, profile))
        self._layers(canvas, patch, outside, wall, inner)
        for tumour, near, profile in grown:
            self._gastric_tumour(canvas, patch, (tumour, near, profile), (outside, wall, inner), textures, z_mm)

    def _wall(self, textures: Textures, patch: Patch) -> Plane:
        folds = 0.42 if self.spec.habitus.filling is Filling.EMPTY else 0.13
        thick: Plane = np.float32(self.anatomy.wall_mm) * np.clip(1.0 + folds * textures.fine[patch.window], 0.6, 2.2)
        return thick

    def _layers(self, canvas: Canvas, patch: Patch, outside: Plane, wall: Plane, inner: Plane) -> None:
        """From outside: muscularis with serosa, submucosa, mucosa, lumen."""
        steps = (
            (Tissue.MUSCULARIS, np.float32(0.0)),
            (Tissue.SUBMUCOSA, np.float32(_LAYERS[0]) * wall),
            (Tissue.MUCOSA, np.maximum(np.float32(_LAYERS[1]) * wall, inner - np.float32(1.0 - _LAYERS[1]) * wall)),
        )
        for k, (tissue, depth) in enumerate(steps):
            canvas.paint(patch, outside + depth, self.hu.hu(tissue), None if k else Organ.STOMACH)
        lumen = outside + inner
        fill = {Filling.WATER: WATER_HU, Filling.CONTRAST: ORAL_CONTRAST_HU, Filling.EMPTY: 22.0}
        canvas.paint(patch, lumen, fill[self.spec.habitus.filling])
        # Gas lies on top of the fluid: level with the room, not with the patient.
        level = np.float32(-62.0 * self.scale if self.spec.habitus.filling is not Filling.EMPTY else -52.0 * self.scale)
        height = canvas.y_mm[patch.window[0]].astype(np.float32)[:, None] - level
        canvas.paint(patch, np.maximum(lumen, height), GAS_HU)

    def _gastric_tumour(
        self,
        canvas: Canvas,
        patch: Patch,
        place: tuple[GastricTumour, Plane, Plane],
        layers: tuple[Plane, Plane, Plane],
        textures: Textures,
        z_mm: float,
    ) -> None:
        tumour, near, profile = place
        outside, wall, inner = layers
        if float(near.max(initial=-9.0)) < -2.0:  # noqa: PLR2004 — even its fat is out of reach
            return
        nodules = _seen(tumour.nodules, canvas, patch, z_mm)
        outer = tumour.outer_depth(profile, wall, nodules)
        if tumour.stranding_hu:
            self._stranding(canvas, patch, (tumour, near), outside + outer, nodules)
        distance = np.maximum(outside + outer, -(outside + inner))
        distance = np.maximum(distance, -0.5 * np.float32(tumour.radius_mm) * near)
        may = np.isin(canvas.organs[patch.window], _INVADED)
        distance = np.where(may, distance, np.float32(99.0))
        mean = np.float32(self.hu.hu(tumour.tissue) + tumour.contrast_hu)
        canvas.paint(patch, distance, mean + 7.0 * textures.fine[patch.window])
        within = tumour.inside(near, -outside, outer, inner) & may
        canvas.mark_lesion(patch, within, tumour.number, Organ.STOMACH)

    def _stranding(
        self, canvas: Canvas, patch: Patch, tumour: tuple[GastricTumour, Plane], edge: Plane, nodules: Plane
    ) -> None:
        """Strands in the fat around a tumour that has come through."""
        lesion, near = tumour
        fades = np.clip(1.0 - edge / 15.0, 0.0, 1.0) * np.clip(1.6 * near + 0.9, 0.0, 1.0)
        strands = np.float32(lesion.stranding_hu) * fades * np.clip(0.55 + 0.7 * nodules, 0.0, 1.8)
        below = canvas.hu[patch.window]
        is_fat = (below < -50.0) & (below > -160.0)  # noqa: PLR2004 — fat, not gas
        below += np.where(is_fat, strands, np.float32(0.0))


def _seen(lattice: Lattice, canvas: Canvas, patch: Patch, z_mm: float) -> Plane:
    """A field of the patient's on a patch of the plane; it is not bent with the organs."""
    return lattice.plane(z_mm, canvas.y_mm[patch.window[0]], canvas.x_mm[patch.window[1]])


def _union(one: Extent, other: Extent) -> Extent:
    return box_around((one.low, one.high, other.low, other.high), (0.0, 0.0, 0.0))


__all__ = ["FAT_HU", "Dome", "Painter", "Textures"]
