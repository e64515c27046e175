"""The reference of a bundle: how its scores and inputs lay in the cases that it was made from, as histograms.

    "celadon": {"reference": {
        "from": "out-of-fold scores of the training cohort",
        "scores": {"NTR_HIGH": {"edges": [0, 0.1, …, 1], "counts": [3, …]}},
        "inputs": {"hu_mean": {"edges": […], "counts": […]}}
    }}

``scores`` by the name of a ``Quantity``, ``inputs`` by a key of ``node.reports.observed.INPUTS``; both may be absent.
"""

from dataclasses import dataclass

from models.bundle import Bundle
from models.bundle_store import Library
from models.fields import Fields
from node.domain.drift import Histogram
from node.errors import BundleError


@dataclass(frozen=True, slots=True)
class Reference:
    """What the numbers of one model are held to."""

    source: str
    """Where it is from, as a person reads it."""
    scores: dict[str, Histogram]
    inputs: dict[str, Histogram]


def reference(bundle: Bundle) -> Reference | None:
    """The reference that a bundle carries; None where it has none. Raises BundleError when it is damaged."""
    if not bundle.celadon.has("reference"):
        return None
    section = bundle.celadon.child("reference")
    parts = [_histograms(section.child(name)) if section.has(name) else {} for name in ("scores", "inputs")]
    return Reference(section.text("from"), *parts)


def references(library: Library) -> dict[str, Reference]:
    """The references of all bundles that are here, by the digest of the bundle; what cannot be read has none."""
    found = {}
    for entry in library.entries():
        try:
            if entry.digest is not None and (made := reference(Bundle.glance(entry.path, entry.digest))) is not None:
                found[entry.digest] = made
        except BundleError:
            continue  # whoever uses the bundle is told; here it only means that nothing is known
    return found


def _histograms(section: Fields) -> dict[str, Histogram]:
    return {name: _histogram(section, name) for name in section.values}


def _histogram(section: Fields, name: str) -> Histogram:
    fields = section.child(name)
    edges, counts = fields.get("edges", list), fields.get("counts", list)
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in edges):
        raise fields.wrong("edges", "holds what is no number")
    if not all(isinstance(one, int) and not isinstance(one, bool) for one in counts):
        raise fields.wrong("counts", "holds what is no whole number")
    try:
        return Histogram(tuple(float(edge) for edge in edges), tuple(counts))
    except ValueError as exc:
        raise section.wrong(name, f"is no histogram: {exc}") from exc
